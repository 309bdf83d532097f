//! Colour maps that are even to the eye: equal steps of value look like equal steps of colour, and
//! brightness alone tells the order.

/// How a value becomes a colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colormap {
    /// Dark blue through green to yellow (matplotlib's default, by van der Walt and Smith, CC0).
    #[default]
    Viridis,
    /// Black through purple and orange to pale yellow (of the same authors, CC0).
    Magma,
    /// Black to white.
    Gray,
}

/// Every eighth colour of the published tables, as 0xRRGGBB. Interpolated, they are within two of
/// 255 steps of the others.
const VIRIDIS: [u32; 33] = [
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453681, 0x424086, 0x3f4989, 0x3b528b, 0x375a8d, 0x33638d,
    0x2f6a8e, 0x2c728e, 0x297a8e, 0x26818e, 0x23898e, 0x21908c, 0x1f988b, 0x1f9f88, 0x21a685, 0x28ae80, 0x31b57b,
    0x3ebc74, 0x4cc26c, 0x5dc963, 0x6ece58, 0x82d34c, 0x96d83f, 0xabdc32, 0xc0df24, 0xd5e21a, 0xeae51a, 0xfde725,
];
const MAGMA: [u32; 33] = [
    0x000004, 0x030311, 0x0a0822, 0x130d33, 0x1d1146, 0x28115a, 0x36106a, 0x430f76, 0x50127c, 0x5d177f, 0x691c81,
    0x762181, 0x822681, 0x8f2a81, 0x9c2e7f, 0xa9327d, 0xb63779, 0xc33b75, 0xcf4170, 0xdb486a, 0xe65163, 0xee5c5e,
    0xf5695c, 0xf9785d, 0xfb8761, 0xfd9668, 0xfea571, 0xfeb47b, 0xfec387, 0xfed194, 0xfde0a2, 0xfceeb0, 0xfcfdbf,
];
const GRAY: [u32; 2] = [0x000000, 0xffffff];

impl Colormap {
    /// Red, green and blue of `t`, 0 (lowest) to 1 (highest); values beyond are taken as these, a NaN as 0.
    pub fn colour(self, t: f32) -> [u8; 3] {
        let table: &[u32] = match self {
            Colormap::Viridis => &VIRIDIS,
            Colormap::Magma => &MAGMA,
            Colormap::Gray => &GRAY,
        };
        let last = table.len() - 1;
        let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
        let at = t * last as f32;
        let below = (at as usize).min(last - 1);
        let part = at - below as f32;
        let channel = |shift: u32| {
            let [a, b] = [table[below], table[below + 1]].map(|rgb| (rgb >> shift & 0xff) as f32);
            (a + (b - a) * part).round() as u8
        };
        [channel(16), channel(8), channel(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_begin_and_end_where_they_should_and_grow_brighter() {
        assert_eq!(Colormap::Viridis.colour(0.0), [0x44, 0x01, 0x54]);
        assert_eq!(Colormap::Viridis.colour(1.0), [0xfd, 0xe7, 0x25]);
        assert_eq!(Colormap::Gray.colour(0.5), [128; 3]);
        // matplotlib's viridis(100) and magma(200).
        let near = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(near(Colormap::Viridis.colour(100.0 / 255.0), [0x2a, 0x76, 0x8e]));
        assert!(near(Colormap::Magma.colour(200.0 / 255.0), [0xfd, 0x98, 0x69]));
        for map in [Colormap::Viridis, Colormap::Magma, Colormap::Gray] {
            assert_eq!(map.colour(-3.0), map.colour(0.0));
            assert_eq!(map.colour(f32::INFINITY), map.colour(1.0));
            assert_eq!(map.colour(f32::NAN), map.colour(0.0));
            let bright = |t: f32| {
                let [r, g, b] = map.colour(t).map(f32::from);
                0.2126 * r + 0.7152 * g + 0.0722 * b
            };
            assert!((0..64).all(|i| bright(i as f32 / 64.0) < bright((i + 1) as f32 / 64.0)), "{map:?}");
        }
    }
}
