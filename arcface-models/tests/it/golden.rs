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

#[test]
fn our_small_network_costs_about_30_million_multiply_adds() {
    let cost = BackboneConfig::new(Architecture::FaceNano).plan().unwrap().cost();
    assert_eq!(cost, Cost { parameters: 811_680, multiply_adds: 30_406_656, state_entries: 61 });
}
