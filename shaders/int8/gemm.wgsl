// Convolution of integers as a matrix product with operands in workgroup memory (implicit GEMM), any kernel,
// stride, padding and dilation, dense or in groups of whole planes.
//
// Layout   x, residual, y: [plane][batch][row][column] of four channels, a byte each; y may be sums of 32 bits.
//          w: [out plane][ky][kx][in plane of the group]: for each of the out plane's four channels a word with
//          the weights of the in plane's four. factors: arith.wgsl, ending.wgsl.
// Grid     x: tiles of PIXEL_THREADS · TILE_PIXELS outputs, rows and batch in one run; y: tiles of
//          PLANE_THREADS · TILE_PLANES output planes of a group; z: groups; one workgroup each.
// Tiling   The sum runs over DEPTH = taps · input planes, in steps of CHUNK: the workgroup copies the input under
//          its outputs and the weights of its planes, then each invocation multiplies TILE_PIXELS × TILE_PLANES of
//          them. Small maps have too few outputs to fill a GPU, so the workgroup is SPLIT parts, each with every
//          SPLIT'th term of the sums; the first adds them up.

const DEPTH: u32 = K_H * K_W * GROUP_IN_PLANES;
const OUT_PIXELS: u32 = BATCH * OUT_H * OUT_W;
const FACTOR_PLANES: u32 = OUT_PLANES;
const PIXELS: u32 = PIXEL_THREADS * TILE_PIXELS;
const GROUP_PLANES: u32 = PLANE_THREADS * TILE_PLANES;
// Invocations of a part.
const PART: u32 = PIXEL_THREADS * PLANE_THREADS;

// [term][pixel] and [term][plane]; at the end the sums of the parts, one after the other.
var<workgroup> tile_x: array<u32, CHUNK * PIXELS>;
var<workgroup> tile_w: array<vec4<u32>, CHUNK * GROUP_PLANES>;
var<workgroup> joined: array<vec4<i32>, JOINED>;

// The input under an output for one term of its sum; zeros beyond the map and beyond the sum.
fn input_at(first_plane: u32, term: u32, pixel: u32) -> u32 {
    if (term >= DEPTH || pixel >= OUT_PIXELS) {
        return 0u;
    }
    let tap = term / GROUP_IN_PLANES;
    let plane = first_plane + term % GROUP_IN_PLANES;
    let n = pixel / (OUT_H * OUT_W);
    // Unsigned: what lies above and left of the map wraps to a large number and fails the comparison too.
    let iy = pixel / OUT_W % OUT_H * STRIDE_Y + tap / K_W * DILATION_Y - PADDING_Y;
    let ix = pixel % OUT_W * STRIDE_X + tap % K_W * DILATION_X - PADDING_X;
    if (iy >= IN_H || ix >= IN_W) {
        return 0u;
    }
    return x_word(((plane * BATCH + n) * IN_H + iy) * IN_W + ix);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let first_pixel = group.x * PIXELS;
    let first_plane = group.z * GROUP_OUT_PLANES + group.y * GROUP_PLANES;
    let end_plane = (group.z + 1u) * GROUP_OUT_PLANES;
    let in_plane = X_PLANE + group.z * GROUP_IN_PLANES;
    let part = thread / PART;
    let pixel_thread = thread % PIXEL_THREADS;
    let plane_thread = thread % PART / PIXEL_THREADS;

    var sum: array<array<vec4<i32>, TILE_PIXELS>, TILE_PLANES>;
    for (var o = 0u; o < TILE_PLANES; o++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            sum[o][t] = vec4<i32>(0);
        }
    }

    for (var first = 0u; first < DEPTH; first += CHUNK) {
        for (var i = thread; i < CHUNK * PIXELS; i += WORKGROUP) {
            tile_x[i] = input_at(in_plane, first + i / PIXELS, first_pixel + i % PIXELS);
        }
        // Beyond the sum and the planes some other weight is read, and meets a zero or is not stored.
        for (var i = thread; i < CHUNK * GROUP_PLANES; i += WORKGROUP) {
            let plane = min(first_plane + i / CHUNK, OUT_PLANES - 1u);
            let term = min(first + i % CHUNK, DEPTH - 1u);
            tile_w[i % CHUNK * GROUP_PLANES + i / CHUNK] = w_block(plane * DEPTH + term);
        }
        workgroupBarrier();
        for (var k = part; k < CHUNK; k += SPLIT) {
            var v: array<u32, TILE_PIXELS>;
            for (var t = 0u; t < TILE_PIXELS; t++) {
                v[t] = tile_x[k * PIXELS + t * PIXEL_THREADS + pixel_thread];
            }
            for (var o = 0u; o < TILE_PLANES; o++) {
                let w = tile_w[k * GROUP_PLANES + o * PLANE_THREADS + plane_thread];
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    sum[o][t] += products(w, v[t]);
                }
            }
        }
        workgroupBarrier();
    }

    for (var o = 0u; o < TILE_PLANES; o++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            if (SPLIT > 1u) {
                if (part > 0u) {
                    joined[thread - PART] = sum[o][t];
                }
                workgroupBarrier();
                if (part == 0u) {
                    for (var s = 0u; s < SPLIT - 1u; s++) {
                        sum[o][t] += joined[s * PART + thread];
                    }
                }
                workgroupBarrier();
            }
            let plane = first_plane + o * PLANE_THREADS + plane_thread;
            let pixel = first_pixel + t * PIXEL_THREADS + pixel_thread;
            if (part == 0u && plane < end_plane && pixel < OUT_PIXELS) {
                y_put(plane * OUT_PIXELS + pixel, ended(plane, pixel, sum[o][t] + bias_at(plane)));
            }
        }
    }
}
