"""Writes the small PyTorch files of torch_zip/ and pickle/ (PyTorch 2.x, NumPy). Run in this folder."""

import collections
import pickle
import zipfile

import numpy
import torch
from torch import nn


class Branch(nn.Module):
    """A convolution and a norm beside an identity, as in a RepVGG block."""

    def __init__(self):
        super().__init__()
        self.rbr_dense = nn.Sequential(collections.OrderedDict(conv=nn.Conv2d(2, 2, 3, padding=1, bias=False)))
        self.rbr_identity = nn.BatchNorm2d(2)

    def forward(self, x):
        return torch.relu(self.rbr_dense(x) + self.rbr_identity(x))


torch.manual_seed(0)
module = Branch().eval()
state = module.state_dict()
files = {
    "state_dict.pth": state,
    "wrapped.pth.tar": {"epoch": 3, "arch": "none", "best": 0.5, "state_dict": {"module." + k: v for k, v in state.items()},
                        "optimizer": torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9).state_dict(),
                        "state_dict_ema": state},
    "dtypes.pth": {"f16": torch.ones(2).half(), "bf16": torch.ones(2).bfloat16(), "f64": torch.ones(2).double(),
                   "i64": torch.arange(2), "view": torch.arange(6.0).view(2, 3).t(),
                   "parameter": nn.Parameter(torch.ones(1))},
    "module.pt": module,
}
for name, value in files.items():
    torch.save(value, f"torch_zip/{name}")
    # A legacy file of a module has the source of its classes in it, which is PyTorch's.
    if name != "module.pt":
        torch.save(value, f"pickle/legacy_{name}", _use_new_zipfile_serialization=False)
arrays = {"w": numpy.arange(6, dtype="f4").reshape(2, 3), "columns": numpy.asfortranarray(numpy.array([[0.5, 1, 1.5], [2, 2.5, 3]])),
          "half": numpy.array([1.5, -2], ">f2"), "count": numpy.array(3), "scalar": numpy.float32(2)}
for protocol in [2, 4, 5]:
    with open(f"pickle/numpy{protocol}.pkl", "wb") as out:
        pickle.dump(arrays, out, protocol=protocol)
torch.jit.trace(module, torch.zeros(1, 2, 4, 4)).save("torch_zip/traced.pt")
for name in ["wrapped.pth.tar", "module.pt", "traced.pt"]:
    with zipfile.ZipFile(f"torch_zip/{name}") as archive:
        entry = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        with open(f"pickle/{name}.pkl", "wb") as out:
            out.write(archive.read(entry))
