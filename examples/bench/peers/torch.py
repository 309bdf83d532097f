"""PyTorch on an NVIDIA GPU, the network captured once as a CUDA graph and replayed: pip install torch numpy.

In f32 (no TF32, as foveate), with cuDNN choosing its fastest kernels; of the two memory formats the faster. A run
copies the input from pinned memory, replays the graph and copies the output back. With `--device cpu` it is PyTorch's
eager mode on the CPU: no measure of anything, but it tries the script where there is no such GPU.
"""

import sys
import time

import torch
import torch.nn.functional as F
from network import Network
from sides import InProcess

DEVICE = None


class Ops:
    """What `Network.apply` asks for."""

    conv = staticmethod(F.conv2d)

    @staticmethod
    def linear(x, weight, bias):
        return F.linear(x.flatten(1), weight, bias)[:, :, None, None]

    @staticmethod
    def activate(kind, x):
        return {"relu": F.relu, "gelu": F.gelu, "sigmoid": torch.sigmoid}[kind](x)

    @staticmethod
    def add(xs):
        return sum(xs[1:], xs[0])

    @staticmethod
    def multiply(x, gate):
        return x * gate

    @staticmethod
    def mean(x):
        return x.mean((2, 3), keepdim=True)

    @staticmethod
    def split(x, count):
        return x.chunk(count, dim=1)

    @staticmethod
    def concat(xs):
        return torch.cat(xs, dim=1)


class Replay:
    """A network as a CUDA graph, with its weights and values in one memory format."""

    def __init__(self, network, input, memory_format):
        def on_gpu(array):
            tensor = torch.tensor(array, device="cuda")
            return tensor.contiguous(memory_format=memory_format) if tensor.dim() == 4 else tensor

        params = list(map(on_gpu, network.params))
        self.host_input = torch.tensor(input).contiguous(memory_format=memory_format).pin_memory()
        self.input = on_gpu(input)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # cuDNN's choice of kernels and all allocations happen before the capture.
            for _ in range(3):
                network.apply(Ops, params, self.input)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = network.apply(Ops, params, self.input)
        self.host_output = torch.empty(self.output.shape, pin_memory=True)
        self.params = params

    def __call__(self):
        self.input.copy_(self.host_input, non_blocking=True)
        self.graph.replay()
        self.host_output.copy_(self.output, non_blocking=True)
        torch.cuda.synchronize()
        return self.host_output.numpy().ravel().copy()

    def least(self, runs=10):
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self()
            times.append(time.perf_counter() - start)
        return min(times[2:])


class Peer(InProcess):
    @torch.inference_mode()
    def __init__(self, model, input, args):
        network = Network(model)
        if args.device == "cpu":
            torch.set_num_threads(args.threads)
            params, x = [torch.tensor(array) for array in network.params], torch.tensor(input)
            self.forward = lambda: network.apply(Ops, params, x).numpy().ravel()
            self.device = f"PyTorch {torch.__version__}, eager mode on the CPU, {args.threads} threads"
        elif not torch.cuda.is_available():
            sys.exit(f"PyTorch {torch.__version__} finds no CUDA device; --device cpu tries the script without one")
        else:
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
            formats = [torch.contiguous_format, torch.channels_last]
            self.forward = min((Replay(network, input, kind) for kind in formats), key=Replay.least)
            name = torch.cuda.get_device_name()
            self.device = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda} graph on {name}"
        self.output = self.run()

    @torch.inference_mode()
    def run(self):
        return self.forward()
