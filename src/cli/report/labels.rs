//! Which points of a plot are named beside them: as many as there is room for.

/// A point with the name that it would have, in parts of the plot's width and height.
pub struct Place {
    pub x: f64,
    pub y: f64,
    /// The name's width and height.
    pub size: [f64; 2],
    /// Whether the name stands to the left of the point.
    pub west: bool,
    /// How far above the point the name's middle stands; below if negative.
    pub above: f64,
}

impl Place {
    /// Left, right, bottom and top of the name.
    fn area(&self) -> [f64; 4] {
        let [width, height] = self.size;
        let [left, right] = if self.west { [self.x - width, self.x] } else { [self.x, self.x + width] };
        let middle = self.y + self.above;
        [left, right, middle - height / 2.0, middle + height / 2.0]
    }

    fn meets(&self, other: &Place) -> bool {
        let ([l, r, b, t], [left, right, bottom, top]) = (self.area(), other.area());
        l < right && left < r && b < top && bottom < t
    }
}

/// For each place, whether its name has room; earlier ones go before later ones.
pub fn with_room(places: &[Place]) -> Vec<bool> {
    let mut kept: Vec<&Place> = Vec::new();
    let room = |place| {
        let free = kept.iter().all(|other| !other.meets(place));
        if free {
            kept.push(place);
        }
        free
    };
    places.iter().map(room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lie_on_each_other() {
        let place = |x, y, west| Place { x, y, size: [0.1, 0.04], west, above: 0.02 };
        let places = [place(0.5, 0.5, false), place(0.55, 0.52, false), place(0.5, 0.5, true), place(0.5, 0.6, false)];
        assert_eq!(with_room(&places), [true, false, true, true]);
        assert_eq!(with_room(&[]), Vec::<bool>::new());
    }
}
