// Two 1×1 convolutions of stride 1 in one dispatch, the MLP of RepNeXt's blocks:
// y = activate(W2 · h + b2 [+ residual]),  h = HIDDEN_ACTIVATION(W1 · [x; x2] + b1).
//
// Layout   x, x2, y, residual: [plane][pixel] of vec4 (four channels), PIXELS = batch · rows ·
//          columns. The input's planes are IN_PLANES of x, then IN_PLANES_2 of x2 (none: x2 = x).
//          w: W1 as [in plane][in lane][hidden plane] of vec4 over the hidden plane's four channels,
//          W2 as [hidden plane][hidden lane][out plane]. bias: b1 as [hidden plane], b2 as [out plane].
//          Neighbouring invocations have neighbouring planes, so they read one run of weights.
// Grid     x: tiles of PIXEL_GROUPS · TILE_PIXELS neighbouring pixels, one workgroup each.
// Tiling   The tile's input lies in workgroup memory, then in its place the whole hidden layer of
//          the tile, which so never leaves the chip. In each layer an invocation has one plane of
//          TILE_PIXELS pixels and every SPLIT'th plane of the sum: small maps have too few pixels
//          to keep a workgroup busy otherwise. A tree of additions joins the parts.

const TILE: u32 = PIXEL_GROUPS * TILE_PIXELS;
const PLANES: u32 = IN_PLANES + IN_PLANES_2;
const OUT_PIXELS: u32 = PIXELS;
const WEIGHTS_2: u32 = PLANES * 4u * HIDDEN_PLANES;
const ITEMS_1: u32 = PIXEL_GROUPS * HIDDEN_PLANES;
const ITEMS_2: u32 = PIXEL_GROUPS * OUT_PLANES;

// [plane][pixel of the tile]; between the layers, sums on their way from one invocation to another.
var<workgroup> tile: array<vec4<f32>, SHARED>;

var<private> sum: array<vec4<f32>, TILE_PIXELS>;

// Adds to `sum` the products of the planes `first`, `first + step` … of the tile, from pixel `pixel`
// of it on, with the weights of one output plane, which begin at `weights` and lie `row` apart.
fn accumulate(planes: u32, first: u32, step: u32, pixel: u32, weights: u32, row: u32) {
    for (var p = first; p < planes; p += step) {
        let at = weights + p * 4u * row;
        let w0 = w_at(at);
        let w1 = w_at(at + row);
        let w2 = w_at(at + 2u * row);
        let w3 = w_at(at + 3u * row);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            let v = tile[p * TILE + pixel + t];
            sum[t] += w0 * v.x + w1 * v.y + w2 * v.z + w3 * v.w;
        }
    }
}

// Adds the sums of all parts of an item to those of part 0. `parts` is a power of two; every
// invocation of the workgroup has to call it, and part `parts` and beyond do nothing else.
fn join(items: u32, parts: u32, item: u32, part: u32) {
    for (var half = parts / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (part >= half && part < 2u * half) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                tile[(t * half + part - half) * items + item] = sum[t];
            }
        }
        workgroupBarrier();
        if (part < half) {
            for (var t = 0u; t < TILE_PIXELS; t++) {
                sum[t] += tile[(t * half + part) * items + item];
            }
        }
    }
}

fn clear() {
    for (var t = 0u; t < TILE_PIXELS; t++) {
        sum[t] = vec4<f32>(0.0);
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let first = group.x * TILE;

    // Pixels beyond the end are computed from the last one and not stored.
    for (var i = thread; i < PLANES * TILE; i += WORKGROUP) {
        let plane = i / TILE;
        let pixel = min(first + i % TILE, PIXELS - 1u);
        if (plane < IN_PLANES) {
            tile[i] = x_at((X_PLANE + plane) * PIXELS + pixel);
        } else {
            tile[i] = x2_at((X2_PLANE + plane - IN_PLANES) * PIXELS + pixel);
        }
    }
    workgroupBarrier();

    let item_1 = thread % ITEMS_1;
    let part_1 = thread / ITEMS_1;
    let hidden = item_1 % HIDDEN_PLANES;
    let pixel_1 = item_1 / HIDDEN_PLANES * TILE_PIXELS;
    clear();
    if (part_1 < SPLIT_1) {
        accumulate(PLANES, part_1, SPLIT_1, pixel_1, hidden, HIDDEN_PLANES);
    }
    join(ITEMS_1, SPLIT_1, item_1, part_1);
    workgroupBarrier();
    if (part_1 == 0u) {
        let bias = bias_at(hidden);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            tile[hidden * TILE + pixel_1 + t] = activate_as(HIDDEN_ACTIVATION, scaled(hidden, sum[t] + bias));
        }
    }
    workgroupBarrier();

    let item_2 = thread % ITEMS_2;
    let part_2 = thread / ITEMS_2;
    let out = item_2 % OUT_PLANES;
    let pixel_2 = item_2 / OUT_PLANES * TILE_PIXELS;
    clear();
    if (part_2 < SPLIT_2) {
        accumulate(HIDDEN_PLANES, part_2, SPLIT_2, pixel_2, WEIGHTS_2 + out, OUT_PLANES);
    }
    join(ITEMS_2, SPLIT_2, item_2, part_2);
    if (part_2 == 0u) {
        let bias = bias_at(HIDDEN_PLANES + out);
        for (var t = 0u; t < TILE_PIXELS; t++) {
            let pixel = first + pixel_2 + t;
            if (pixel < PIXELS) {
                store(out, pixel, scaled(HIDDEN_PLANES + out, sum[t] + bias));
            }
        }
    }
}
