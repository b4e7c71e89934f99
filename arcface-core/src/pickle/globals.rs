//! The closed list of names that a pickle may mention.
//! Knows what each stands for, not what is done with it; nothing is imported.

/// A name that plain data, numpy arrays and torch tensors need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict` or `dict`.
    Dict,
    /// `list`.
    List,
    /// `tuple`.
    Tuple,
    /// `set` or `frozenset`.
    Set,
    /// `bytes`.
    Bytes,
    /// `bytearray`.
    ByteArray,
    /// `_codecs.encode`.
    Encode,
    /// `numpy.core.multiarray._reconstruct`: an empty array, to be given a state.
    NumpyReconstruct,
    /// `numpy.core.numeric._frombuffer`: an array over bytes.
    NumpyFromBuffer,
    /// `numpy.core.multiarray.scalar`: one element.
    NumpyScalar,
    /// `numpy.ndarray`.
    NumpyArray,
    /// `numpy.dtype`.
    NumpyDtype,
    /// `torch._utils._rebuild_tensor_v2`, or the version without gradients before it.
    TorchTensor,
    /// `torch._utils._rebuild_parameter`.
    TorchParameter,
    /// `torch.Size`.
    TorchSize,
    /// A storage of torch's.
    TorchStorage(Storage),
}

/// The type of the elements of a storage of torch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are torch's, without `Storage`")]
pub enum Storage {
    Float,
    Double,
    Half,
    BFloat16,
    Long,
    Int,
    Short,
    Char,
    Byte,
    Bool,
}

const KNOWN: &[(&str, &str, Global)] = &[
    ("collections", "OrderedDict", Global::Dict),
    ("_codecs", "encode", Global::Encode),
    ("numpy", "ndarray", Global::NumpyArray),
    ("numpy", "dtype", Global::NumpyDtype),
    ("numpy.core.multiarray", "_reconstruct", Global::NumpyReconstruct),
    ("numpy._core.multiarray", "_reconstruct", Global::NumpyReconstruct),
    ("numpy.core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy._core.multiarray", "scalar", Global::NumpyScalar),
    ("numpy.core.numeric", "_frombuffer", Global::NumpyFromBuffer),
    ("numpy._core.numeric", "_frombuffer", Global::NumpyFromBuffer),
    ("torch._utils", "_rebuild_tensor", Global::TorchTensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::TorchTensor),
    ("torch._utils", "_rebuild_parameter", Global::TorchParameter),
    ("torch", "Size", Global::TorchSize),
    ("torch", "FloatStorage", Global::TorchStorage(Storage::Float)),
    ("torch", "DoubleStorage", Global::TorchStorage(Storage::Double)),
    ("torch", "HalfStorage", Global::TorchStorage(Storage::Half)),
    ("torch", "BFloat16Storage", Global::TorchStorage(Storage::BFloat16)),
    ("torch", "LongStorage", Global::TorchStorage(Storage::Long)),
    ("torch", "IntStorage", Global::TorchStorage(Storage::Int)),
    ("torch", "ShortStorage", Global::TorchStorage(Storage::Short)),
    ("torch", "CharStorage", Global::TorchStorage(Storage::Char)),
    ("torch", "ByteStorage", Global::TorchStorage(Storage::Byte)),
    ("torch", "BoolStorage", Global::TorchStorage(Storage::Bool)),
];

/// The same under `builtins` and, from Python 2 and protocols up to 2, `__builtin__`.
const BUILTINS: &[(&str, Global)] = &[
    ("dict", Global::Dict),
    ("list", Global::List),
    ("tuple", Global::Tuple),
    ("set", Global::Set),
    ("frozenset", Global::Set),
    ("bytes", Global::Bytes),
    ("bytearray", Global::ByteArray),
];

impl Global {
    /// What `module.name` stands for, if it is on the list.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        if module == "builtins" || module == "__builtin__" {
            return BUILTINS.iter().find(|known| known.0 == name).map(|known| known.1);
        }
        KNOWN.iter().find(|known| (known.0, known.1) == (module, name)).map(|known| known.2)
    }

    /// One of the names that it goes by.
    pub fn name(self) -> String {
        let known = KNOWN.iter().find(|known| known.2 == self).map(|(module, name, _)| format!("{module}.{name}"));
        let builtin = || BUILTINS.iter().find(|known| known.1 == self).map(|known| known.0.to_owned());
        known.or_else(builtin).unwrap_or_default()
    }
}
