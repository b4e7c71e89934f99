//! What holds for every network: the same bytes for any number of threads, images that do not see each other, seeds.
//! Knows no expected number.

use arcface_core::candle::{DType, Device, Module, Tensor};
use arcface_models::{
    Architecture, Backbone, BackboneConfig, Mode, Network, facenano, mobilefacenet, mobilefacenet_112x96,
    mobilefacenet_y1,
};

use crate::support::{
    TRAIN, backbone, config, distance, images, narrow_iresnet, network, small_facenano, stir, values,
};

fn bits(tensor: &Tensor) -> Vec<u64> {
    values(tensor).into_iter().map(f64::to_bits).collect()
}

/// Embeddings and all gradients of one training pass.
fn training_pass(network: &Network, images: &Tensor) -> Vec<Vec<u64>> {
    let pass = network.training_pass(images, 0, 0).unwrap();
    let embeddings = bits(pass.embeddings());
    let loss = pass.embeddings().sqr().unwrap().sum_all().unwrap();
    let gradients = pass.backward(&loss).unwrap();
    std::iter::once(embeddings).chain(gradients.iter().map(|(_, gradient)| bits(gradient))).collect()
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    for plan in [narrow_iresnet([1, 1, 1, 1], 32), small_facenano(48)] {
        let network = network(&plan, DType::F32);
        let images = images(5, plan.input_size, DType::F32);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| training_pass(&network, &images))
        };
        assert!(with(1) == with(2));
    }
}

#[test]
fn an_image_is_embedded_alike_in_any_company() {
    for plan in [narrow_iresnet([2, 2, 2, 2], 32), small_facenano(32)] {
        let network = network(&plan, DType::F32);
        stir(&network);
        let images = images(5, plan.input_size, DType::F32);
        let together = network.forward(&images, Mode::Eval).unwrap();
        for index in 0..5 {
            let alone = network.forward(&images.narrow(0, index, 1).unwrap(), Mode::Eval).unwrap();
            assert!(distance(&alone, &together.narrow(0, index, 1).unwrap()) < 1e-6);
        }
    }
}

#[test]
fn a_network_made_ready_embeds_as_in_evaluation() {
    let plans = [narrow_iresnet([2, 1, 1, 1], 32), small_facenano(32), mobilefacenet(32, 8), mobilefacenet_y1(32, 8)];
    for plan in plans.into_iter().chain([mobilefacenet_112x96(32, 8)]) {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
            let network = network(&plan, dtype);
            stir(&network);
            let images = images(3, 32, dtype);
            let expected = network.forward(&images, Mode::Eval).unwrap();
            let inference = network.inference().unwrap();
            assert!(distance(&inference.forward(&images).unwrap(), &expected) < tolerance, "{dtype:?}");
            let wrong = images.narrow(2, 0, 16).unwrap();
            let errors = [inference.forward(&wrong), network.forward(&wrong, Mode::Eval)];
            let [ours, theirs] = errors.map(|error| error.unwrap_err().to_string());
            assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn blocks_that_are_recomputed_change_no_byte() {
    for (plan, part) in [(narrow_iresnet([2, 1, 2, 1], 32), "layer3"), (facenano(32, 8, 0.3), "stage2")] {
        let pass = |prefixes: &[&str]| {
            let mut network = network(&plan, DType::F32);
            network.recompute(&prefixes.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
            let numbers = training_pass(&network, &images(4, 32, DType::F32));
            network.commit_statistics().unwrap();
            let state = network.state_dict().unwrap();
            (numbers, state.values().map(values).collect::<Vec<_>>())
        };
        let kept = pass(&[]);
        assert!(pass(&["all"]) == kept && pass(&[part]) == kept);
    }
    let error = network(&small_facenano(32), DType::F32).recompute(&["layer1".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("`layer1`") && error.contains("stage2"), "{error}");
}

#[test]
fn weights_are_a_function_of_the_seed() {
    let weights = |seed| bits(&backbone(seed).state_dict().unwrap()["fc.weight"]);
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn weights_of_a_name_do_not_depend_on_the_other_layers() {
    let state = |embedding_size| network(&facenano(32, embedding_size, 0.0), DType::F32).state_dict().unwrap();
    assert_eq!(bits(&state(8)["stage1.down.conv.weight"]), bits(&state(16)["stage1.down.conv.weight"]));
}

#[test]
fn dropout_is_a_function_of_seed_and_step_and_absent_in_evaluation() {
    let network = network(&facenano(32, 8, 0.5), DType::F32);
    let images = images(4, 32, DType::F32);
    let at = |seed, step| bits(&network.forward(&images, Mode::Train { seed, step }).unwrap());
    assert_eq!(at(0, 3), at(0, 3));
    assert_ne!(at(0, 3), at(0, 4));
    assert_ne!(at(0, 3), at(1, 3));
    let evaluated = || bits(&network.forward(&images, Mode::Eval).unwrap());
    assert_eq!(evaluated(), evaluated());
}

#[test]
fn as_a_module_it_evaluates() {
    let backbone = backbone(0);
    let images = images(2, 32, DType::F32);
    let module = Module::forward(&backbone, &images).unwrap();
    assert_eq!(bits(&module), bits(&backbone.forward(&images, Mode::Eval).unwrap()));
}

#[test]
fn iresnet18_embeds_a_real_sized_image() {
    let config = BackboneConfig::new(Architecture::IResNet18);
    let backbone = Backbone::new(&config, 0, DType::F32, &Device::Cpu).unwrap();
    let embedding = backbone.forward(&images(1, 112, DType::F32), Mode::Eval).unwrap();
    assert_eq!(embedding.dims(), [1, 512]);
    assert!(values(&embedding).iter().all(|x| x.is_finite()));
    assert_eq!(backbone.cost(), config.plan().unwrap().cost());
}

#[test]
fn built_parameters_are_those_of_the_description() {
    for plan in [narrow_iresnet([1, 2, 1, 1], 32), small_facenano(32), arcface_models::mobilefacenet(32, 8)] {
        let state = network(&plan, DType::F32).state_dict().unwrap();
        let described = plan.entries().into_iter().map(|entry| (entry.name, entry.shape));
        let built = state.into_iter().map(|(name, tensor)| (name, tensor.dims().to_vec()));
        assert_eq!(
            built.collect::<Vec<_>>(),
            described.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect::<Vec<_>>()
        );
    }
}

fn check_refused(config: &BackboneConfig, message: &str) {
    assert_eq!(config.plan().unwrap_err().to_string(), message);
}

#[test]
fn configurations_out_of_range_are_refused() {
    check_refused(
        &BackboneConfig { input_size: 100, ..config() },
        "input_size: expected a multiple of 16 from 16 to 1024, got 100",
    );
    check_refused(
        &BackboneConfig { embedding_size: 0, ..config() },
        "embedding_size: expected 1 <= embedding_size <= 65536, got 0",
    );
    check_refused(&BackboneConfig { dropout: 1.0, ..config() }, "dropout: expected 0 <= dropout < 1, got 1");
    let mobile = BackboneConfig { dropout: 0.4, ..BackboneConfig::new(Architecture::MobileFaceNet) };
    check_refused(&mobile, "dropout: expected 0, since mobilefacenet has no dropout layer, got 0.4");
    let frozen = BackboneConfig { freeze: vec!["layer1".into()], ..config() };
    check_refused(
        &frozen,
        "no stage named `layer1`; known: all, backbone, bn2, fc, features, stage1, stage2, stage3, stem",
    );
}

#[test]
fn an_unknown_backbone_is_answered_with_the_known_ones() {
    let error = "resnet50".parse::<Architecture>().unwrap_err().to_string();
    insta::assert_snapshot!(error, @"no backbone named `resnet50`; known: facenano, iresnet100, iresnet18, iresnet200, iresnet34, iresnet50, mobilefacenet, mobilefacenet_112x96, mobilefacenet_y1");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let backbone = backbone(0);
    let error = |images: &Tensor, mode| backbone.forward(images, mode).unwrap_err().to_string();
    insta::assert_snapshot!(error(&images(1, 48, DType::F32), Mode::Eval), @"images: expected shape (B, 3, 32, 32), got [1, 3, 48, 48]");
    insta::assert_snapshot!(error(&images(1, 32, DType::F64), Mode::Eval), @"images: expected element type F32, the network's, got F64");
    insta::assert_snapshot!(error(&images(1, 32, DType::F32), TRAIN), @"batch norm `features` in training: expected more than one value per channel (a batch of at least 2), got 1");
}

fn stages(architecture: Architecture) -> String {
    BackboneConfig::new(architecture).plan().unwrap().stages().join(" ")
}

#[test]
fn every_architecture_can_be_frozen_by_stages() {
    insta::assert_snapshot!(stages(Architecture::FaceNano), @"stem stage1 stage2 stage3 bn2 fc features");
    insta::assert_snapshot!(stages(Architecture::IResNet18), @"conv1 bn1 prelu layer1 layer2 layer3 layer4 bn2 fc features");
    insta::assert_snapshot!(stages(Architecture::MobileFaceNet), @"layers.0 layers.1 layers.2 layers.3 layers.4 layers.5 layers.6 layers.7 conv_sep features");
    insta::assert_snapshot!(stages(Architecture::MobileFaceNetY1), @"conv_1 conv_2_dw dconv_23 res_3 dconv_34 res_4 dconv_45 res_5 conv_6sep conv_6dw7_7 fc1");
    insta::assert_snapshot!(stages(Architecture::MobileFaceNet112x96), @"conv1 dw_conv1 blocks.0 blocks.1 blocks.2 blocks.3 blocks.4 blocks.5 blocks.6 blocks.7 blocks.8 blocks.9 blocks.10 blocks.11 blocks.12 blocks.13 blocks.14 conv2 linear7 linear1");
    for architecture in Architecture::ALL {
        let whole = BackboneConfig::new(architecture);
        let every = whole.plan().unwrap().stages();
        for freeze in [every, vec!["all".to_owned()], vec!["backbone".to_owned()]] {
            let small = BackboneConfig { input_size: 32, embedding_size: 8, freeze, ..whole.clone() };
            let is_big = architecture.name().starts_with("iresnet") && architecture != Architecture::IResNet18;
            small.plan().unwrap();
            if !is_big {
                let backbone = Backbone::new(&small, 0, DType::F32, &Device::Cpu).unwrap();
                assert_eq!(backbone.parameters().trained().count(), 0, "{architecture}");
            }
        }
    }
}

#[test]
fn a_network_frozen_as_a_whole_trains_nothing_and_embeds_as_in_evaluation() {
    let frozen = BackboneConfig { freeze: vec!["all".into()], dropout: 0.5, ..config() };
    let backbone = Backbone::new(&frozen, 0, DType::F32, &Device::Cpu).unwrap();
    let before = backbone.state_dict().unwrap();
    let images = images(3, 32, DType::F32);
    let pass = backbone.training_pass(&images, 0, 0).unwrap();
    assert_eq!(bits(pass.embeddings()), bits(&backbone.forward(&images, Mode::Eval).unwrap()));
    let loss = pass.embeddings().sqr().unwrap().sum_all().unwrap();
    assert!(pass.backward(&loss).unwrap().is_empty());
    backbone.commit_statistics().unwrap();
    for (name, tensor) in backbone.state_dict().unwrap() {
        assert!(values(&tensor) == values(&before[&name]), "{name}");
    }
}
