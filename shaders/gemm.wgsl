// Convolution as a matrix product with operands in workgroup memory (implicit GEMM), any kernel, stride,
// padding and dilation: y = activate(conv([x; x2]) + bias [+ residual]).
//
// Layout   x, x2, y, residual: [plane][batch][row][column] of vec4 (four channels). The input's planes
//          are IN_PLANES of x, then IN_PLANES_2 of x2 (none: x2 = x).
//          w: [out plane][ky][kx][in plane][in lane] of vec4 over the out plane's four channels.
// Grid     x: tiles of PIXEL_THREADS · TILE_PIXELS outputs, rows and batch in one run; y: tiles of
//          PLANE_THREADS · TILE_PLANES output planes; one workgroup each.
// Tiling   The sum runs over DEPTH = taps · input planes, in steps of CHUNK: the workgroup copies the
//          input under its outputs and the weights of its planes, then each invocation multiplies
//          TILE_PIXELS × TILE_PLANES of them. Small maps have too few outputs to fill a GPU, so the
//          workgroup is SPLIT parts, each with every SPLIT'th term of the sums; the first adds them up.

const PLANES: u32 = IN_PLANES + IN_PLANES_2;
const DEPTH: u32 = K_H * K_W * PLANES;
const OUT_PIXELS: u32 = BATCH * OUT_H * OUT_W;
const PIXELS: u32 = PIXEL_THREADS * TILE_PIXELS;
const GROUP_PLANES: u32 = PLANE_THREADS * TILE_PLANES;
// Invocations of a part.
const PART: u32 = PIXEL_THREADS * PLANE_THREADS;

// [term][pixel] and [term][in lane][plane]; at the end the sums of the parts, one after the other.
var<workgroup> tile_x: array<vec4<f32>, CHUNK * PIXELS>;
var<workgroup> tile_w: array<vec4<f32>, CHUNK * 4u * GROUP_PLANES>;
var<workgroup> joined: array<vec4<f32>, JOINED>;

// The input under an output for one term of its sum; zero beyond the map and beyond the sum.
fn input_at(term: u32, pixel: u32) -> vec4<f32> {
    if (term >= DEPTH || pixel >= OUT_PIXELS) {
        return vec4<f32>(0.0);
    }
    let tap = term / PLANES;
    let plane = term % PLANES;
    let n = pixel / (OUT_H * OUT_W);
    // Unsigned: what lies above and left of the map wraps to a large number and fails the comparison too.
    let iy = pixel / OUT_W % OUT_H * STRIDE_Y + tap / K_W * DILATION_Y - PADDING_Y;
    let ix = pixel % OUT_W * STRIDE_X + tap % K_W * DILATION_X - PADDING_X;
    if (iy >= IN_H || ix >= IN_W) {
        return vec4<f32>(0.0);
    }
    let at = (n * IN_H + iy) * IN_W + ix;
    if (plane < IN_PLANES) {
        return x_at((X_PLANE + plane) * BATCH * IN_H * IN_W + at);
    }
    return x2_at((X2_PLANE + plane - IN_PLANES) * BATCH * IN_H * IN_W + at);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let first_pixel = group.x * PIXELS;
    let first_plane = group.y * GROUP_PLANES;
    let part = thread / PART;
    let pixel_thread = thread % PIXEL_THREADS;
    let plane_thread = thread % PART / PIXEL_THREADS;

    var sum: array<array<vec4<f32>, TILE_PIXELS>, TILE_PLANES>;
    for (var o = 0u; o < TILE_PLANES; o++) {
        for (var t = 0u; t < TILE_PIXELS; t++) {
            sum[o][t] = vec4<f32>(0.0);
        }
    }

    for (var first = 0u; first < DEPTH; first += CHUNK) {
        for (var i = thread; i < CHUNK * PIXELS; i += WORKGROUP) {
            tile_x[i] = input_at(first + i / PIXELS, first_pixel + i % PIXELS);
        }
        // Beyond the sum and the planes some other weight is read, and meets a zero or is not stored.
        for (var i = thread; i < CHUNK * 4u * GROUP_PLANES; i += WORKGROUP) {
            let plane = min(first_plane + i / (CHUNK * 4u), OUT_PLANES - 1u);
            let term = min(first * 4u + i % (CHUNK * 4u), DEPTH * 4u - 1u);
            tile_w[i % (CHUNK * 4u) * GROUP_PLANES + i / (CHUNK * 4u)] = w_at(plane * DEPTH * 4u + term);
        }
        workgroupBarrier();
        for (var k = part; k < CHUNK; k += SPLIT) {
            var v: array<vec4<f32>, TILE_PIXELS>;
            for (var t = 0u; t < TILE_PIXELS; t++) {
                v[t] = tile_x[k * PIXELS + t * PIXEL_THREADS + pixel_thread];
            }
            for (var o = 0u; o < TILE_PLANES; o++) {
                let at = k * 4u * GROUP_PLANES + o * PLANE_THREADS + plane_thread;
                let w0 = tile_w[at];
                let w1 = tile_w[at + GROUP_PLANES];
                let w2 = tile_w[at + 2u * GROUP_PLANES];
                let w3 = tile_w[at + 3u * GROUP_PLANES];
                for (var t = 0u; t < TILE_PIXELS; t++) {
                    sum[o][t] += w0 * v[t].x + w1 * v[t].y + w2 * v[t].z + w3 * v[t].w;
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
            if (part == 0u && plane < OUT_PLANES && pixel < OUT_PIXELS) {
                store(plane, pixel, scaled(plane, sum[o][t] + bias_at(plane)));
            }
        }
    }
}
