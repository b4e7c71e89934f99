//! How files call the entries of a network.
//! Knows no tensor and no layer: a name in, a name out.

/// Whose names a network's files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Torch's, which are the names of the parameters.
    Torch,
    /// Torch's before 0.4.1: batch norms do not count batches.
    TorchUncounted,
    /// `MXNet`'s: underscores for dots, γ and β by name, moving statistics, no counts.
    Mxnet,
}

impl Naming {
    /// The name in files of the parameter `name`; `None` if files do not hold it.
    ///
    /// ```
    /// use arcface_models::weights::Naming;
    /// let name = Naming::Mxnet.file_name("res_3.block0.conv_sep.batchnorm.weight");
    /// assert_eq!(name.as_deref(), Some("res_3_block0_conv_sep_batchnorm_gamma"));
    /// ```
    pub fn file_name(self, name: &str) -> Option<String> {
        match self {
            Self::Torch => Some(name.to_owned()),
            Self::TorchUncounted => (!is_count(name)).then(|| name.to_owned()),
            Self::Mxnet => (!is_count(name)).then(|| mxnet(name)),
        }
    }
}

fn is_count(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

fn mxnet(name: &str) -> String {
    let (module, leaf) = name.rsplit_once('.').unwrap_or_default();
    let leaf = match (module.rsplit('.').next().unwrap_or_default(), leaf) {
        ("batchnorm" | "relu", "weight") => "gamma",
        ("batchnorm", "bias") => "beta",
        (_, "running_mean") => "moving_mean",
        (_, "running_var") => "moving_var",
        (_, leaf) => leaf,
    };
    match (module, leaf) {
        // The layers `pre_fc1` and `fc1` share one prefix there, but for the bias.
        ("fc1", "bias") => "pre_fc1_bias".to_owned(),
        ("fc1.batchnorm", leaf) => format!("fc1_{leaf}"),
        (module, leaf) => format!("{}_{leaf}", module.replace('.', "_")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(Naming::Mxnet.file_name(name).as_deref(), expected, "{name}");
    }

    #[test]
    fn mxnet_has_names_of_its_own() {
        check("conv_1.conv2d.weight", Some("conv_1_conv2d_weight"));
        check("conv_1.relu.weight", Some("conv_1_relu_gamma"));
        check("conv_1.batchnorm.bias", Some("conv_1_batchnorm_beta"));
        check("conv_1.batchnorm.running_var", Some("conv_1_batchnorm_moving_var"));
        check("conv_1.batchnorm.num_batches_tracked", None);
        check("fc1.weight", Some("fc1_weight"));
        check("fc1.bias", Some("pre_fc1_bias"));
        check("fc1.batchnorm.weight", Some("fc1_gamma"));
        check("fc1.batchnorm.running_mean", Some("fc1_moving_mean"));
    }

    #[test]
    fn old_torch_counts_no_batches() {
        assert_eq!(Naming::TorchUncounted.file_name("bn.weight").as_deref(), Some("bn.weight"));
        assert_eq!(Naming::TorchUncounted.file_name("bn.num_batches_tracked"), None);
    }
}
