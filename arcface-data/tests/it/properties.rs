//! Properties of samplers, loader, augmentation and drawn pairs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arcface_core::seed::{Purpose, rng};
use arcface_data::augment::{Facing, flips, lay, mirrored};
use arcface_data::{
    Augmentation, Batch, DrawPairs, Folds, Image, Loader, LoaderConfig, Normalisation, OnCorrupt, PairList, Sampler,
    SamplerKind, Source, draw_pairs,
};
use proptest::prelude::*;

use crate::support::{Noise, config, noise};

fn sampler(kind: SamplerKind, source: &dyn Source, batch_size: usize) -> Sampler {
    Sampler::new(kind, source, batch_size, 9).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_epoch_shows_each_image_once(images in 1_usize..60, batch_size in 1_usize..20, epoch in 0_u64..5) {
        prop_assume!(batch_size <= images);
        let sampler = sampler(SamplerKind::Shuffle, &Noise::new(&[images], 1), batch_size);
        let steps = sampler.batches_per_epoch();
        prop_assert_eq!(steps, (images / batch_size) as u64);
        let shown: Vec<_> = (epoch * steps..(epoch + 1) * steps).flat_map(|step| sampler.batch_indices(step)).collect();
        let distinct: BTreeSet<_> = shown.iter().collect();
        prop_assert_eq!(distinct.len(), shown.len());
        prop_assert!(images - shown.len() < batch_size);
    }

    #[test]
    fn steps_may_be_asked_in_any_order(first in 0_u64..40, second in 0_u64..40) {
        let source = Noise::new(&[3, 1, 4, 1, 5, 9, 2, 6], 1);
        for kind in [SamplerKind::Shuffle, SamplerKind::Balanced { identities: 3, images: 2 }] {
            let (used, fresh) = (sampler(kind, &source, 6), sampler(kind, &source, 6));
            used.batch_indices(first);
            prop_assert_eq!(used.batch_indices(second), fresh.batch_indices(second));
        }
    }

    #[test]
    fn balanced_batches_have_p_identities_with_k_images(
        counts in prop::collection::vec(1_usize..7, 3..12), k in 1_usize..5, step in 0_u64..50
    ) {
        let p = counts.len().min(4);
        let source = Noise::new(&counts, 1);
        let batch = sampler(SamplerKind::Balanced { identities: p, images: k }, &source, p * k).batch_indices(step);
        let mut identities = BTreeSet::new();
        for group in batch.chunks(k) {
            let label = source.label(group[0]);
            prop_assert!(group.iter().all(|index| source.label(*index) == label));
            prop_assert!(identities.insert(label));
            let distinct = group.iter().collect::<BTreeSet<_>>().len();
            prop_assert_eq!(distinct, k.min(counts[label as usize]));
        }
        prop_assert_eq!(identities.len(), p);
    }

    #[test]
    fn drawn_pairs_are_balanced_and_distinct(
        counts in prop::collection::vec(1_usize..8, 4..30), count in 1_usize..30, folds in 1_usize..4, seed in 0_u64..9
    ) {
        let draw = DrawPairs { count: 2 * count, folds, seed };
        let source = Arc::new(Noise::new(&counts, 1));
        let genuine = counts.iter().map(|n| n * (n - 1) / 2).sum::<usize>();
        let images = counts.iter().sum::<usize>();
        let possible = folds <= count && count <= genuine && count <= images * (images - 1) / 2 - genuine;
        let drawn = draw_pairs(source.clone(), draw);
        prop_assert_eq!(drawn.is_ok(), possible);
        let Ok((set, kind)) = drawn else { return Ok(()) };
        let mut seen = BTreeSet::new();
        let mut fold_of_identity = BTreeMap::new();
        let mut per_fold = vec![[0; 2]; folds];
        for (pair, positions) in set.list.pairs.iter().zip(&set.positions) {
            let images = positions.map(|place| set.images[place]);
            prop_assert!(images[0] < images[1] && seen.insert(images));
            let labels = images.map(|index| source.label(index));
            prop_assert_eq!(pair.same, labels[0] == labels[1]);
            per_fold[pair.fold][usize::from(pair.same)] += 1;
            for label in labels {
                let fold = *fold_of_identity.entry(label).or_insert(pair.fold);
                prop_assert!(kind == Folds::Sharing || fold == pair.fold);
            }
        }
        prop_assert!(per_fold.iter().all(|[impostor, genuine]| impostor == genuine && 0 < *genuine));
        let again = draw_pairs(source, draw).unwrap().0;
        prop_assert_eq!((again.list, again.positions), (set.list, set.positions));
    }

    #[test]
    fn pairs_survive_both_forms(counts in prop::collection::vec(2_usize..6, 8..12), seed in 0_u64..9) {
        let (set, _) = draw_pairs(Arc::new(Noise::new(&counts, 1)), DrawPairs { count: 12, folds: 3, seed }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["pairs.csv", "pairs.txt"] {
            let path = folder.path().join(name);
            set.list.write(&path).unwrap();
            prop_assert_eq!(PairList::read(&path).unwrap().pairs, set.list.pairs.clone());
        }
    }

    #[test]
    fn augmentation_keeps_sizes_and_is_seeded(seed in 0_u64..1000, width in 1_usize..20, height in 1_usize..20) {
        let all = Augmentation {
            shift: 3.0, rotation: 20.0, zoom: 0.2, brightness: 0.3, contrast: 0.3, saturation: 0.5, grey: 0.3,
            low_resolution: 0.5, erasing: 0.5,
        };
        let image = Image::filled(width, height, [10, 200, 90]);
        let draw = || all.apply(image.clone(), &mut rng(seed, Purpose::Testing, 0, 0));
        let changed = draw();
        prop_assert_eq!((changed.width, changed.height, changed.rgb.len()), (width, height, 3 * width * height));
        prop_assert_eq!(changed, draw());
    }
}

#[test]
fn identities_take_turns_in_balanced_batches() {
    let source = Noise::new(&[2; 12], 1);
    let sampler = sampler(SamplerKind::Balanced { identities: 4, images: 2 }, &source, 8);
    assert_eq!(sampler.batches_per_epoch(), 3);
    let labels: BTreeSet<_> = (3..6).flat_map(|step| sampler.batch_indices(step)).map(|i| source.label(i)).collect();
    assert_eq!(labels.len(), 12);
}

#[test]
fn epochs_and_seeds_differ() {
    let source = Noise::new(&[50], 1);
    let order = |seed, step| Sampler::new(SamplerKind::Shuffle, &source, 50, seed).unwrap().batch_indices(step);
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
}

#[test]
fn a_defaulted_batch_size_shrinks_to_what_the_source_has() {
    let source = Noise::new(&[2, 3], 1);
    assert_eq!(SamplerKind::Shuffle.largest_batch_size(&source), 5);
    assert_eq!(SamplerKind::Balanced { identities: 8, images: 4 }.largest_batch_size(&source), 8);
}

fn batches(source: &Arc<Noise>, config: &LoaderConfig, first: u64, last: u64) -> Vec<Batch> {
    Loader::new(source.clone(), config).unwrap().batches(first, last).map(Result::unwrap).collect()
}

#[test]
fn batches_depend_neither_on_threads_nor_on_where_one_starts() {
    let source = Arc::new(Noise::new(&[5, 6, 7], 6));
    let augmentation = Augmentation { shift: 2.0, brightness: 0.2, erasing: 0.5, ..Augmentation::default() };
    for sampler in [SamplerKind::Shuffle, SamplerKind::Balanced { identities: 2, images: 2 }] {
        let base = LoaderConfig { sampler, augmentation, ..config(4, 6) };
        let one = batches(&source, &LoaderConfig { workers: 1, ..base.clone() }, 0, 13);
        assert_eq!(one.iter().map(|batch| batch.step).collect::<Vec<_>>(), (0..13).collect::<Vec<_>>());
        for (workers, cache_bytes) in [(0, 0), (2, 1 << 20), (4, 0), (4, 400)] {
            let other = LoaderConfig { workers, cache_bytes, ..base.clone() };
            assert_eq!(batches(&source, &other, 0, 13), one, "{workers} threads, {cache_bytes} bytes of cache");
            assert_eq!(batches(&source, &other, 5, 13), one[5..], "{workers} threads from step 5");
        }
    }
}

#[test]
fn batches_hold_the_images_that_the_sampler_names() {
    let source = Arc::new(Noise::new(&[3, 4], 5));
    let plain = LoaderConfig { flip: false, ..config(3, 5) };
    let table = Normalisation::default().table();
    for batch in batches(&source, &plain, 0, 4) {
        let images = batch.images.chunks(75).zip(&batch.indices).zip(&batch.labels);
        for ((values, index), label) in images {
            let mut expected = [0.0; 75];
            lay(&noise(5, *index as u64), &table, Facing::AsIs, &mut expected);
            assert_eq!((values, *label), (&expected[..], source.label(*index)));
        }
    }
}

#[test]
fn in_order_shows_every_image_once_and_unchanged() {
    let source = Arc::new(Noise::new(&[7], 4));
    let loader = Loader::in_order(source, vec![6, 0, 3, 3, 1], &config(2, 4)).unwrap();
    assert_eq!(loader.batches_per_epoch(), 3);
    let batches: Vec<_> = loader.batches(0, u64::MAX).map(Result::unwrap).collect();
    assert_eq!(
        batches.iter().map(|batch| batch.indices.clone()).collect::<Vec<_>>(),
        [vec![6, 0], vec![3, 3], vec![1]]
    );
    assert_eq!(batches[1].images[..48], batches[1].images[48..]);
}

#[test]
fn half_of_the_images_are_mirrored() {
    let heads = (0..4000).filter(|draw| flips(1, draw / 64, draw % 64)).count();
    // Four standard deviations of 4000 fair coins: 4·√1000 ≈ 126.
    assert!(heads.abs_diff(2000) < 127, "{heads} of 4000");
}

#[test]
fn mirroring_twice_changes_nothing() {
    let image = noise(5, 3);
    let table = Normalisation::default().table();
    let planes = |facing| {
        let mut out = vec![0.0; 75];
        lay(&image, &table, facing, &mut out);
        out
    };
    assert_eq!(mirrored(&planes(Facing::Mirrored), 5), planes(Facing::AsIs));
    assert_ne!(planes(Facing::Mirrored), planes(Facing::AsIs));
}

#[test]
fn normalisations_give_the_values_of_their_formulas() {
    let at = |normalisation: Normalisation, channel: usize, byte: usize| normalisation.table()[channel][byte];
    let cases = [
        (Normalisation::By127_5, 0, 255, 1.0),
        (Normalisation::By127_5, 2, 0, -1.0),
        (Normalisation::By128, 1, 255, 127.5 / 128.0),
        (Normalisation::ImageNet, 0, 255, (1.0 - 0.485) / 0.229),
        (Normalisation::ImageNet, 2, 0, -0.406 / 0.225),
    ];
    for (normalisation, channel, byte, expected) in cases {
        assert!((at(normalisation, channel, byte) - expected).abs() < 1e-6, "{normalisation}");
        assert_eq!(normalisation.to_string().parse::<Normalisation>().unwrap(), normalisation);
    }
}

#[test]
fn skipped_images_are_replaced_by_their_identity_and_listed() {
    let mut source = Noise::new(&[3, 3], 4);
    source.corrupt = vec![1, 4];
    let source = Arc::new(source);
    let skip = LoaderConfig { on_corrupt: OnCorrupt::Skip, ..config(6, 4) };
    let batch = batches(&source, &skip, 0, 1).remove(0);
    let mut skipped = batch.skipped.clone();
    skipped.sort();
    assert_eq!(skipped, ["noise 1: torn", "noise 4: torn"]);
    let mut indices = batch.indices.clone();
    indices.sort_unstable();
    assert_eq!(indices, [0, 2, 2, 3, 5, 5]);
    assert_eq!(batches(&source, &LoaderConfig { workers: 1, ..skip }, 0, 1), [batch]);
}

#[test]
fn an_error_ends_the_batches() {
    let mut source = Noise::new(&[30], 4);
    source.corrupt = vec![11];
    let loader =
        Loader::in_order(Arc::new(source), (0..30).collect(), &LoaderConfig { workers: 3, ..config(2, 4) }).unwrap();
    let results: Vec<_> = loader.batches(0, 15).collect();
    assert_eq!(results.len(), 6);
    assert!(results[..5].iter().all(Result::is_ok));
    assert_eq!(results[5].as_ref().unwrap_err().to_string(), "noise 11: torn");
}

#[test]
fn a_panic_in_a_thread_is_an_error_for_the_caller() {
    let mut source = Noise::new(&[8], 4);
    source.panics = vec![3];
    let loader = Loader::in_order(Arc::new(source), (0..8).collect(), &config(2, 4)).unwrap();
    let results: Vec<_> = loader.batches(0, 4).collect();
    assert_eq!(results.len(), 2);
    assert_eq!(results[1].as_ref().unwrap_err().to_string(), "loader: a thread panicked at step 1: image 3 bites");
}

#[test]
fn dropping_the_iterator_stops_its_threads() {
    let source = Arc::new(Noise::new(&[16], 8));
    let loader = Loader::new(source.clone(), &LoaderConfig { workers: 3, ..config(8, 8) }).unwrap();
    let mut batches = loader.batches(0, u64::MAX);
    batches.next().unwrap().unwrap();
    drop(batches);
    drop(loader);
    // The threads held the source; now nobody else does.
    assert_eq!(Arc::strong_count(&source), 1);
}
