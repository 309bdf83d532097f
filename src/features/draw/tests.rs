use super::*;

fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 4] {
    picture.row(y)[x as usize]
}

fn opaque([r, g, b]: [u8; 3]) -> [u8; 4] {
    [r, g, b, 255]
}

/// Two samples of three channels of 2×4; sample 1, channel c holds 100c … 100c + 7.
fn ramps() -> Tensor {
    let sample = |scale: f32| (0..3).flat_map(move |c| (0..8).map(move |i| scale * (c * 100 + i) as f32));
    Tensor::new([2, 3, 2, 4], sample(0.0).chain(sample(1.0)).collect()).unwrap()
}

#[test]
fn a_grid_shows_each_value_as_a_square() {
    let style = Style::default();
    let picture = grid(&ramps(), 1, &style).unwrap();
    // 2×4 enlarged 28 times to be 112 wide: three maps with two gaps.
    let (cell_width, cell_height) = (4 * 28, 2 * 28);
    let columns = columns(3) as u32;
    let rows = 3u32.div_ceil(columns);
    let of_width = |cells: u32| cells * (cell_width + 2) - 2;
    assert_eq!((picture.width(), picture.height()), (of_width(columns), rows * (cell_height + 2) - 2));
    let colour = |t: f32| opaque(style.colormap.colour(t));
    for channel in 0..3 {
        let (left, top) = (channel % columns * (cell_width + 2), channel / columns * (cell_height + 2));
        assert_eq!(pixel(&picture, left, top), colour(0.0));
        assert_eq!(pixel(&picture, left + 27, top + 27), colour(0.0));
        assert_eq!(pixel(&picture, left + 28, top + 27), colour(1.0 / 7.0));
        assert_eq!(pixel(&picture, left + 111, top + 55), colour(1.0));
    }
    assert_eq!(pixel(&picture, 112, 0)[3], 0, "gaps are transparent");
    let first = grid(&ramps(), 1, &Style { channels: 1, ..style }).unwrap();
    assert_eq!((first.width(), first.height()), (cell_width, cell_height));
}

#[test]
fn one_range_for_all_shows_which_map_is_strong() {
    let style = Style { scale: Scale::Tensor, colormap: Colormap::Gray, channels: 3 };
    let picture = grid(&ramps(), 1, &style).unwrap();
    let second = columns(3) as u32 >= 2;
    let (x, y) = if second { (114, 0) } else { (0, 58) };
    assert_eq!(pixel(&picture, x, y), opaque(Colormap::Gray.colour(100.0 / 207.0)));
    // A vector's values are told apart, whatever the scale.
    let vector = Tensor::new([1, 2, 1, 1], vec![-1.0, 3.0]).unwrap();
    let vector = grid(&vector, 0, &Style::default()).unwrap();
    assert_eq!(pixel(&vector, 0, 0), opaque(Colormap::Viridis.colour(0.0)));
    assert_eq!(pixel(&vector, 22, 0), opaque(Colormap::Viridis.colour(1.0)));
    // All values alike: the lowest colour, and no division by zero.
    let flat = grid(&ramps(), 0, &Style::default()).unwrap();
    assert_eq!(pixel(&flat, 5, 5), opaque(Colormap::Viridis.colour(0.0)));
}

#[test]
fn extreme_values_and_those_that_are_not_finite_can_be_drawn() {
    let values = vec![f32::MIN, f32::MAX, 0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let tensor = Tensor::new([1, 1, 1, 6], values).unwrap();
    let picture = grid(&tensor, 0, &Style::default()).unwrap();
    let cell = picture.width() / 6;
    let at = |i: u32| pixel(&picture, i * cell + cell / 2, 0);
    assert_eq!(at(0), opaque(Colormap::Viridis.colour(0.0)));
    assert_eq!(at(1), opaque(Colormap::Viridis.colour(1.0)));
    assert_eq!(at(2), opaque(Colormap::Viridis.colour(0.5)));
    (3..6).for_each(|i| assert_eq!(at(i), opaque(NOT_FINITE)));
    let all_nan = Tensor::full([1, 2, 3, 3], f32::NAN);
    assert_eq!(pixel(&grid(&all_nan, 0, &Style::default()).unwrap(), 0, 0), opaque(NOT_FINITE));
}

#[test]
fn sizes_are_readable_and_bounded() {
    let sides = |shape: [usize; 4], channels: usize| {
        let picture = grid(&Tensor::zeros(shape), 0, &Style { channels, ..Style::default() }).unwrap();
        (picture.width() as usize, picture.height() as usize)
    };
    assert_eq!(sides([1, 64, 7, 7], 64), (8 * 114 - 2, 8 * 114 - 2));
    assert_eq!(sides([1, 40, 56, 56], 64), (8 * 114 - 2, 5 * 114 - 2));
    assert_eq!(sides([1, 1, 112, 112], 64), (112, 112));
    // Twice the wished side is drawn as it is, more is reduced.
    assert_eq!(sides([1, 1, 224, 100], 64), (100, 224));
    assert_eq!(sides([1, 1, 225, 100], 64), (50, 113));
    assert_eq!(sides([1, 1, 1, 8192], 64), (8192 / 37 + 1, 1));
    assert_eq!(sides([1, 10, 1, 1], 64), (5 * 22 - 2, 2 * 22 - 2));
    let (width, height) = sides([1, 5000, 32, 32], usize::MAX);
    assert!(width * height < 2 * MAX_PIXELS && width > 64 * 32, "{width}×{height}");
}

#[test]
fn reducing_averages_blocks() {
    let map: Vec<f32> = (0..15).map(|v| v as f32).collect();
    // Rows 0 1 2 3 4 | 5 … 9 | 10 … 14.
    let reduced = Zoom::Reduce(2).apply(&map, [3, 5]);
    assert_eq!(Zoom::Reduce(2).size([3, 5]), [2, 3]);
    assert_eq!(reduced, [3.0, 5.0, 6.5, 10.5, 12.5, 14.0]);
    assert_eq!(Zoom::Enlarge(2).apply(&[1.0, 2.0], [1, 2]), [1., 1., 2., 2., 1., 1., 2., 2.]);
}

#[test]
fn branches_stand_side_by_side_under_their_titles() {
    // One bright pixel each: of the mean, at (i, 0).
    let branch = |i: usize, name, kernel: &str| {
        let mut tensor = Tensor::zeros([1, 3, 4, 4]);
        (0..3).for_each(|c| tensor.data_mut()[c * 16 + i] = 1.0 + c as f32);
        Branch { name, kernel: kernel.into(), tensor }
    };
    let all = [branch(0, "identity", ""), branch(1, "S", "3×3"), branch(2, "M", "7×7"), branch(3, "L", "1×11→11×1")];
    let picture = branches(&all, 0, &Style::default()).unwrap();
    let top = (font::HEIGHT * DOT_SIZE + 4 * GAP) as u32;
    let step = (MEAN_SIDE + COLUMN_GAP) as u32;
    assert_eq!(picture.width(), 4 * step - COLUMN_GAP as u32);
    for i in 0..4u32 {
        for x in 0..4 {
            let expected = Colormap::Viridis.colour(if x == i { 1.0 } else { 0.0 });
            assert_eq!(pixel(&picture, i * step + x * 56 + 28, top + 28), opaque(expected), "branch {i}, column {x}");
        }
        let titled = (0..top).flat_map(|y| (0..step).map(move |x| (x, y)));
        let titled = titled.filter(|(x, _)| i * step + x < picture.width());
        assert!(titled.filter(|(x, y)| pixel(&picture, i * step + x, *y) == TITLE).count() > 40, "title {i}");
    }
    assert!(branches(&[], 0, &Style::default()).is_err());
}

#[test]
fn the_input_is_the_picture_again() {
    let preprocess = Preprocess {
        mean: [0.5, 0.4, 0.3],
        std: [0.2, 0.3, 0.4],
        ..crate::Model::builtin().unwrap().preprocess().clone()
    };
    let rgb: Vec<u8> = (0..32 * 32 * 3).map(|i| (i % 251) as u8).collect();
    let picture = Picture::from_rgb(32, 32, &rgb).unwrap();
    let drawn = input(&preprocess.apply(&picture).unwrap(), 0, &preprocess).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (224, 224));
    for (x, y) in [(0, 0), (31, 0), (7, 19), (31, 31)] {
        assert_eq!(pixel(&drawn, x * 7 + 3, y * 7 + 3), pixel(&picture, x, y));
    }
    assert!(input(&Tensor::zeros([1, 4, 8, 8]), 0, &preprocess).is_err());
    assert!(input(&Tensor::zeros([1, 3, 8, 8]), 1, &preprocess).is_err());
    assert!(grid(&Tensor::zeros([3, 8, 8]), 0, &Style::default()).is_err());
}
