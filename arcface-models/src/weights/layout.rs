//! Operator layout ↔ torch layout, tensor by tensor.
//! Knows no file: files hold torch's layout, networks the operators', and only this module holds both.

use arcface_core::Result;
use arcface_core::candle::Tensor;

/// How torch's layout of a tensor and the operators' belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The same in both.
    Plain,
    /// (O, I, KH, KW) in torch, (KH, KW, I, O) in the operators; I is per group.
    Convolution,
    /// (O, I, 1, 1) in torch, (O, I) in the operators: a fully connected layer written as a 1×1 convolution.
    Pointwise,
    /// (O, C·H·W) in torch, (O, H·W·C) in the operators: a fully connected layer on a flattened image.
    Flattened {
        /// C.
        channels: usize,
        /// H.
        height: usize,
        /// W.
        width: usize,
    },
}

impl Layout {
    /// A tensor of a file as the operators take it.
    ///
    /// # Errors
    /// If the tensor has not torch's shape.
    pub fn to_operator(self, torch: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain => Ok(torch.contiguous()?),
            Self::Convolution => Ok(torch.permute((2, 3, 1, 0))?.contiguous()?),
            Self::Pointwise => Ok(torch.squeeze(3)?.squeeze(2)?.contiguous()?),
            Self::Flattened { channels, height, width } => {
                let (outputs, inputs) = torch.dims2()?;
                let image = torch.reshape((outputs, channels, height, width))?;
                Ok(image.permute((0, 2, 3, 1))?.reshape((outputs, inputs))?)
            }
        }
    }

    /// A tensor of the operators as files hold it.
    ///
    /// # Errors
    /// If the tensor has not the operators' shape.
    pub fn to_torch(self, operator: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain => Ok(operator.contiguous()?),
            Self::Convolution => Ok(operator.permute((3, 2, 0, 1))?.contiguous()?),
            Self::Pointwise => Ok(operator.unsqueeze(2)?.unsqueeze(3)?.contiguous()?),
            Self::Flattened { channels, height, width } => {
                let (outputs, inputs) = operator.dims2()?;
                let image = operator.reshape((outputs, height, width, channels))?;
                Ok(image.permute((0, 3, 1, 2))?.reshape((outputs, inputs))?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arcface_core::candle::Device;

    use super::*;

    fn counted(shape: &[usize]) -> Tensor {
        let count: usize = shape.iter().product();
        Tensor::arange(0.0, count as f64, &Device::Cpu).unwrap().reshape(shape).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn check_there_and_back(layout: Layout, shape: &[usize], operator_shape: &[usize]) {
        let torch = counted(shape);
        let operator = layout.to_operator(&torch).unwrap();
        assert_eq!(operator.dims(), operator_shape);
        let back = layout.to_torch(&operator).unwrap();
        assert_eq!((back.dims(), values(&back)), (shape, values(&torch)));
    }

    #[test]
    fn every_layout_goes_there_and_back() {
        check_there_and_back(Layout::Plain, &[5], &[5]);
        check_there_and_back(Layout::Convolution, &[5, 4, 3, 2], &[3, 2, 4, 5]);
        check_there_and_back(Layout::Pointwise, &[5, 4, 1, 1], &[5, 4]);
        let flattened = Layout::Flattened { channels: 2, height: 3, width: 4 };
        check_there_and_back(flattened, &[5, 24], &[5, 24]);
    }

    #[test]
    fn flattening_moves_channels_last() {
        let layout = Layout::Flattened { channels: 2, height: 1, width: 3 };
        assert_eq!(values(&layout.to_operator(&counted(&[1, 6])).unwrap()), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }
}
