//! The memory of a run: slots that hold values, and the windows through which threads write them.
//!
//! This file has the fast path's only unsafe code but for vector instructions, and the innermost loops of
//! WebAssembly (`tile/wasm.rs`, `sweep/wasm.rs`). What it relies on is checked when a program is made: a step does
//! not read the slot that it writes, and the windows of a step's pieces do not overlap ([`Rect::overlaps`]).

use std::marker::PhantomData;
use std::ops::Range;

use super::layout::{Block, Map};

/// The part of a value that one piece of work writes: planes × rows × columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cpu) struct Rect {
    pub planes: Range<usize>,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

impl Rect {
    /// All of a value.
    pub(in crate::cpu) fn whole(map: &Map) -> Self {
        Rect { planes: 0..map.planes(), rows: 0..map.height, columns: 0..map.width }
    }

    pub(in crate::cpu) fn overlaps(&self, other: &Rect) -> bool {
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        meet(&self.planes, &other.planes) && meet(&self.rows, &other.rows) && meet(&self.columns, &other.columns)
    }

    pub(in crate::cpu) fn lies_within(&self, map: &Map) -> bool {
        let Rect { planes, rows, columns } = Rect::whole(map);
        self.planes.end <= planes.end && self.rows.end <= rows.end && self.columns.end <= columns.end
    }
}

/// Exclusive access to a [`Rect`] of a value.
pub(in crate::cpu) struct Window<'a, B = Block> {
    start: *mut B,
    map: Map,
    rect: Rect,
    life: PhantomData<&'a mut [B]>,
}

impl<B> Window<'_, B> {
    /// What may be written.
    pub(in crate::cpu) fn rect(&self) -> &Rect {
        &self.rect
    }

    /// The window's columns of one row.
    ///
    /// # Panics
    /// If the row is not in the window: a defect of the caller.
    pub(in crate::cpu) fn row(&mut self, plane: usize, y: usize) -> &mut [B] {
        let Rect { planes, rows, columns } = &self.rect;
        assert!(planes.contains(&plane) && rows.contains(&y), "a kernel wrote outside of its window");
        // SAFETY: whoever made the window promised that `rect` lies within the map, the map within
        // the slot, and that nobody else touches these blocks; `self` is borrowed exclusively.
        unsafe {
            let first = self.start.add(self.map.at(plane, y, columns.start));
            std::slice::from_raw_parts_mut(first, columns.len())
        }
    }

    /// The window's rows of one plane, from the first one's first column to the last one's last; what lies between rows
    /// belongs to the frame.
    ///
    /// # Panics
    /// If the plane is not in the window, or there are several rows and not all columns of them: a defect of the caller.
    pub(in crate::cpu) fn rows(&mut self, plane: usize) -> &mut [B] {
        let [rows] = self.rows_of(plane..plane + 1);
        rows
    }

    /// As [`rows`](Self::rows), of up to `N` planes; of the others, nothing.
    pub(in crate::cpu) fn rows_of<const N: usize>(&mut self, wanted: Range<usize>) -> [&mut [B]; N] {
        let Rect { planes, rows, columns } = &self.rect;
        let whole = rows.len() == 1 || !rows.is_empty() && *columns == (0..self.map.width);
        let within = planes.start <= wanted.start && wanted.end <= planes.end && wanted.len() <= N;
        assert!(within && whole, "a kernel wrote outside of its window");
        std::array::from_fn(|i| {
            let plane = wanted.start + i;
            if plane >= wanted.end {
                return Default::default();
            }
            let [first, last] = [rows.start, rows.end - 1].map(|y| self.map.at(plane, y, columns.start));
            // SAFETY: as above; nobody has a window with anything of these rows, and frames are in no window. Each plane
            // is handed out once.
            unsafe { std::slice::from_raw_parts_mut(self.start.add(first), last + columns.len() - first) }
        })
    }
}

/// Pointers to the slots of one workspace, shared by the threads of one run.
pub(in crate::cpu) struct Slots<'a, B = Block> {
    slots: Vec<(*mut B, usize)>,
    life: PhantomData<&'a mut [B]>,
}

// SAFETY: the slots are borrowed exclusively for as long as this lives, and the two functions below
// are the only access; their callers promise that no two threads reach the same blocks.
unsafe impl<B: Send + Sync> Sync for Slots<'_, B> {}

impl<'a, B> Slots<'a, B> {
    pub(in crate::cpu) fn new(slots: &'a mut [Vec<B>]) -> Self {
        Slots { slots: slots.iter_mut().map(|s| (s.as_mut_ptr(), s.len())).collect(), life: PhantomData }
    }

    /// All blocks of a slot.
    ///
    /// # Safety
    /// No window of this slot may be alive.
    pub(in crate::cpu) unsafe fn read(&self, slot: usize) -> &[B] {
        let (start, len) = self.slots[slot];
        // SAFETY: the vector is borrowed by `self`; the caller promises that nobody writes it.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// The part of a value that is written by one piece.
    ///
    /// # Safety
    /// Nobody may read the slot or have a window that overlaps `rect` while this one is alive.
    ///
    /// # Panics
    /// If the rectangle is not within the slot: a defect of the caller.
    pub(in crate::cpu) unsafe fn window(&self, slot: usize, map: Map, rect: Rect) -> Window<'_, B> {
        let (start, len) = self.slots[slot];
        assert!(rect.lies_within(&map) && map.len() <= len, "a window is not within its slot");
        Window { start, map, rect, life: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::LANES;
    use super::*;
    use crate::graph::Shape;

    #[test]
    fn rectangles_overlap_only_where_all_three_ranges_meet() {
        let rect = |p: Range<usize>, r: Range<usize>, c: Range<usize>| Rect { planes: p, rows: r, columns: c };
        let a = rect(0..2, 0..4, 0..4);
        for other in [rect(2..3, 0..4, 0..4), rect(0..2, 4..5, 0..4), rect(0..2, 0..4, 4..9)] {
            assert!(!a.overlaps(&other) && !other.overlaps(&a));
        }
        assert!(a.overlaps(&rect(1..3, 3..9, 3..9)) && a.overlaps(&a));
        assert!(
            a.lies_within(&Map::new(Shape::new(32, 4, 4), 0)) && !a.lies_within(&Map::new(Shape::new(16, 4, 4), 0))
        );
    }

    #[test]
    fn a_window_reaches_its_own_columns_only() {
        let map = Map::new(Shape::new(17, 2, 3), 1);
        let mut memory = vec![vec![Block::ZERO; map.len()]];
        let slots = Slots::new(&mut memory);
        // SAFETY: the only access to the slot.
        let mut window = unsafe { slots.window(0, map, Rect { planes: 1..2, rows: 1..2, columns: 1..3 }) };
        window.row(1, 1).fill(Block([7.0; 16]));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| window.row(0, 1)[0])).is_err());
        let filled: Vec<usize> = (0..map.len()).filter(|i| memory[0][*i] != Block::ZERO).collect();
        assert_eq!(filled, [map.at(1, 1, 1), map.at(1, 1, 2)]);
    }

    #[test]
    fn rows_are_whole_ones() {
        let map = Map::new(Shape::new(17, 4, 3), 1);
        let mut memory = vec![vec![Block::ZERO; map.len()]];
        let slots = Slots::new(&mut memory);
        let rect = |columns| Rect { planes: 1..2, rows: 1..3, columns };
        // SAFETY: the only access to the slot.
        let mut window = unsafe { slots.window(0, map, rect(0..3)) };
        let rows = window.rows(1);
        assert_eq!(rows.len(), map.pitch() + 3);
        rows[0] = Block([7.0; 16]);
        // SAFETY: the other window is gone.
        let mut part = unsafe { slots.window(0, map, rect(1..3)) };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| part.rows(1)[0])).is_err());
        assert_eq!(memory[0][map.at(1, 1, 0)], Block([7.0; 16]));
    }
    #[test]
    fn rows_of_several_planes_are_apart() {
        let map = Map::new(Shape::new(33, 4, 3), 1);
        let mut memory = vec![vec![Block::ZERO; map.len()]];
        let slots = Slots::new(&mut memory);
        let rect = Rect { planes: 1..3, rows: 2..3, columns: 1..3 };
        // SAFETY: the only access to the slot.
        let mut window = unsafe { slots.window(0, map, rect) };
        let [first, second, none] = window.rows_of(1..3);
        assert_eq!([first.len(), second.len(), none.len()], [2, 2, 0]);
        (first[0], second[1]) = (Block([1.0; LANES]), Block([2.0; LANES]));
        for planes in [0..2, 2..4] {
            assert!(
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| window.rows_of::<3>(planes).len())).is_err()
            );
        }
        assert_eq!([map.at(1, 2, 1), map.at(2, 2, 2)].map(|at| memory[0][at].0[0]), [1.0, 2.0]);
    }
}
