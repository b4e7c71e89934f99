//! Figures and names that are published, and those of our own network.
//! Knows no tensor.

use arcface_models::{Architecture, BackboneConfig, Cost};

fn check_cost(name: &str, parameters: u64, giga_multiply_adds: &str, state_entries: usize) {
    let cost = BackboneConfig::new(name.parse().unwrap()).plan().unwrap().cost();
    let decimals = giga_multiply_adds.split_once('.').unwrap().1.len();
    let giga = format!("{:.decimals$}", cost.multiply_adds as f64 / 1e9);
    let got = (cost.parameters, giga.as_str(), cost.state_entries);
    assert_eq!(got, (parameters, giga_multiply_adds, state_entries), "{name}");
}

#[test]
fn costs_are_those_of_the_published_networks() {
    check_cost("iresnet18", 24_025_600, "2.610", 187);
    check_cost("iresnet34", 34_139_328, "4.460", 331);
    check_cost("iresnet50", 43_590_848, "6.309", 475);
    check_cost("iresnet100", 65_156_160, "12.090", 925);
    check_cost("iresnet200", 118_833_920, "23.419", 1807);
    check_cost("mobilefacenet", 2_059_520, "0.4375", 333);
}

/// Parameters and entries are those of the files, multiply-adds those that torch makes of them
/// (`xtask/peer/mobilefacenet_paper.py`, counted at its calls of `conv2d` and `linear`).
#[test]
fn costs_of_the_older_mobilefacenets() {
    let cost = |architecture| BackboneConfig::new(architecture).plan().unwrap().cost();
    let y1 = Cost { parameters: 1_003_264, multiply_adds: 220_965_376, state_entries: 284 };
    assert_eq!(cost(Architecture::MobileFaceNetY1), y1);
    let of_112x96 = Cost { parameters: 999_552, multiply_adds: 189_408_256, state_entries: 283 };
    assert_eq!(cost(Architecture::MobileFaceNet112x96), of_112x96);
}

#[test]
fn our_small_network_costs_about_30_million_multiply_adds() {
    let cost = BackboneConfig::new(Architecture::FaceNano).plan().unwrap().cost();
    assert_eq!(cost, Cost { parameters: 811_680, multiply_adds: 30_406_656, state_entries: 61 });
}

fn shape(name: &str, entry: &str) -> Vec<usize> {
    let entries = BackboneConfig::new(name.parse().unwrap()).plan().unwrap().entries();
    entries.into_iter().find(|candidate| candidate.name == entry).unwrap_or_else(|| panic!("{name}: no {entry}")).shape
}

/// Names in torch's order, shortened to the modules of one block.
fn modules(name: &str, prefix: &str) -> String {
    let entries = BackboneConfig::new(name.parse().unwrap()).plan().unwrap().entries();
    let names = entries.iter().filter_map(|entry| entry.name.strip_prefix(prefix));
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn iresnet_has_torch_names_and_shapes() {
    assert_eq!(shape("iresnet50", "conv1.weight"), [64, 3, 3, 3]);
    assert_eq!(shape("iresnet50", "layer1.0.downsample.0.weight"), [64, 64, 1, 1]);
    assert_eq!(shape("iresnet50", "layer3.13.conv2.weight"), [256, 256, 3, 3]);
    assert_eq!(shape("iresnet50", "layer4.0.bn1.running_mean"), [256]);
    assert_eq!(shape("iresnet50", "fc.weight"), [512, 25_088]);
    assert_eq!(shape("iresnet50", "features.num_batches_tracked"), [0; 0]);
    insta::assert_snapshot!(modules("iresnet50", "layer2.1."), @"bn1.weight bn1.bias bn1.running_mean bn1.running_var bn1.num_batches_tracked conv1.weight bn2.weight bn2.bias bn2.running_mean bn2.running_var bn2.num_batches_tracked prelu.weight conv2.weight bn3.weight bn3.bias bn3.running_mean bn3.running_var bn3.num_batches_tracked");
}

#[test]
fn mobilefacenet_has_torch_names_and_shapes() {
    assert_eq!(shape("mobilefacenet", "layers.0.layers.0.weight"), [128, 3, 3, 3]);
    assert_eq!(shape("mobilefacenet", "layers.1.layers.0.weight"), [128, 2, 3, 3]);
    assert_eq!(shape("mobilefacenet", "layers.2.layers.1.layers.0.weight"), [128, 1, 3, 3]);
    assert_eq!(shape("mobilefacenet", "layers.5.layers.5.layers.2.layers.1.weight"), [256]);
    assert_eq!(shape("mobilefacenet", "layers.6.layers.0.layers.0.weight"), [512, 256, 1, 1]);
    assert_eq!(shape("mobilefacenet", "conv_sep.layers.0.weight"), [512, 256, 1, 1]);
    assert_eq!(shape("mobilefacenet", "features.layers.0.layers.0.weight"), [512, 1, 7, 7]);
    assert_eq!(shape("mobilefacenet", "features.layers.2.weight"), [512, 512]);
    insta::assert_snapshot!(modules("mobilefacenet", "layers.3.layers.0."), @"layers.0.layers.0.weight layers.0.layers.1.weight layers.0.layers.1.bias layers.0.layers.1.running_mean layers.0.layers.1.running_var layers.0.layers.1.num_batches_tracked layers.0.layers.2.weight layers.1.layers.0.weight layers.1.layers.1.weight layers.1.layers.1.bias layers.1.layers.1.running_mean layers.1.layers.1.running_var layers.1.layers.1.num_batches_tracked layers.1.layers.2.weight layers.2.layers.0.weight layers.2.layers.1.weight layers.2.layers.1.bias layers.2.layers.1.running_mean layers.2.layers.1.running_var layers.2.layers.1.num_batches_tracked");
}

/// Names in files.
fn file_modules(name: &str, prefix: &str) -> String {
    let entries = BackboneConfig::new(name.parse().unwrap()).plan().unwrap().entries();
    let names = entries.iter().filter_map(|entry| entry.file_name.strip_prefix(prefix));
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_older_mobilefacenets_keep_the_names_of_their_files() {
    insta::assert_snapshot!(file_modules("mobilefacenet_y1", "res_4_block5_"), @"conv_sep_conv2d_weight conv_sep_batchnorm_gamma conv_sep_batchnorm_beta conv_sep_batchnorm_moving_mean conv_sep_batchnorm_moving_var conv_sep_relu_gamma conv_dw_conv2d_weight conv_dw_batchnorm_gamma conv_dw_batchnorm_beta conv_dw_batchnorm_moving_mean conv_dw_batchnorm_moving_var conv_dw_relu_gamma conv_proj_conv2d_weight conv_proj_batchnorm_gamma conv_proj_batchnorm_beta conv_proj_batchnorm_moving_mean conv_proj_batchnorm_moving_var");
    insta::assert_snapshot!(file_modules("mobilefacenet_y1", "fc1_"), @"weight gamma beta moving_mean moving_var");
    insta::assert_snapshot!(modules("mobilefacenet_y1", "res_4.block5.conv_proj."), @"conv2d.weight batchnorm.weight batchnorm.bias batchnorm.running_mean batchnorm.running_var");
    insta::assert_snapshot!(file_modules("mobilefacenet_112x96", "blocks.12."), @"conv.0.weight conv.1.weight conv.1.bias conv.1.running_mean conv.1.running_var conv.2.weight conv.3.weight conv.4.weight conv.4.bias conv.4.running_mean conv.4.running_var conv.5.weight conv.6.weight conv.7.weight conv.7.bias conv.7.running_mean conv.7.running_var");
    assert_eq!(shape("mobilefacenet_112x96", "linear7.conv.weight"), [512, 1, 7, 6]);
    assert_eq!(shape("mobilefacenet_112x96", "linear1.conv.weight"), [128, 512, 1, 1]);
}

#[test]
fn facenano_has_names_that_say_what_they_are() {
    insta::assert_snapshot!(modules("facenano", "stage1.block."), @"conv.weight bn.weight bn.bias bn.running_mean bn.running_var bn.num_batches_tracked prelu.weight");
}
