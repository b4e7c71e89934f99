//! What every source must do, over every source there is.

use std::sync::Arc;

use arcface_data::convert::{Container, convert};
use arcface_data::source::{
    FileSource, Holdout, JoinedSource, RecodedSource, SameName, Subset, hold_out, images_by_identity, keys,
};
use arcface_data::{
    FileFormat, FolderOptions, FolderSource, NoiseConfig, NoisySource, ProceduralConfig, ProceduralSource,
    RecordSource, Source, generate,
};

use crate::support::{Noise, folder};

fn check(source: &dyn Source) {
    assert!(!source.is_empty());
    let by_identity = images_by_identity(source);
    assert_eq!(by_identity.len(), source.num_identities());
    assert_eq!(by_identity.iter().map(Vec::len).sum::<usize>(), source.len());
    for index in 0..source.len() {
        let image = source.image(index).unwrap();
        assert_eq!(image, source.image(index).unwrap(), "{}", source.describe(index));
        assert_eq!(source.dimensions(index).unwrap(), (image.width, image.height));
    }
    let mut keys = keys(source);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), source.len());
}

fn procedural(identities: usize) -> Arc<dyn Source> {
    let config = ProceduralConfig { identities, images_per_identity: 2, image_size: 16, ..ProceduralConfig::default() };
    Arc::new(ProceduralSource::new(config).unwrap())
}

#[test]
fn every_source_keeps_the_contract() {
    let root = folder(&[("ada", 2), ("bob", 1), ("cyd", 3)], 8);
    let folder = FolderSource::open(root.path(), &FolderOptions::default()).unwrap();
    let files = (0..folder.len()).map(|index| folder.path(index)).collect();
    check(&folder);
    check(&Noise::new(&[3, 1, 2], 8));
    let records = root.path().join("records/train.rec");
    convert(&folder, &records, Container::Record, |_| true).unwrap();
    check(&RecordSource::open(records).unwrap());
    check(&*procedural(3));
    let (train, held_out) = hold_out(&procedural(4), Holdout::Identities(1), 0).unwrap();
    check(&train);
    check(&held_out);
    let folder: Arc<dyn Source> = Arc::new(folder);
    for same_name in [SameName::Prefix, SameName::Merge] {
        let sources =
            vec![("a".to_owned(), folder.clone()), ("b".to_owned(), procedural(2)), ("c".to_owned(), folder.clone())];
        check(&JoinedSource::new(sources, same_name).unwrap());
    }
    let rates = NoiseConfig { closed: 0.3, open: 0.3, seed: 1 };
    check(&NoisySource::new(folder.clone(), Some(procedural(2)), rates).unwrap());
    check(&Subset::of_images(folder.clone(), &[1, 4, 5]).unwrap());
    check(&RecodedSource::new(folder.clone(), 60).unwrap());
    let files = FileSource::new(files);
    assert_eq!(files.image(0).unwrap(), folder.image(0).unwrap());
}

#[test]
fn labels_follow_the_bytes_of_the_names() {
    let root = folder(&[("b", 1), ("a", 2), ("C", 1), ("é", 1)], 8);
    let source = FolderSource::open(root.path(), &FolderOptions::default()).unwrap();
    let names: Vec<_> = (0..4).map(|label| source.identity(label)).collect();
    assert_eq!(names, ["C", "a", "b", "é"]);
    assert_eq!(source.describe(1), root.path().join("a").join("a_0001.png").display().to_string());
}

#[test]
fn a_list_chooses_identities() {
    let root = folder(&[("ada", 1), ("bob", 2), ("cyd", 1)], 8);
    let list = root.path().join("list.txt");
    std::fs::write(&list, "# who\ncyd\r\n\nbob\n").unwrap();
    let options = FolderOptions { identities: Some(list) };
    let source = FolderSource::open(root.path(), &options).unwrap();
    assert_eq!((source.num_identities(), source.len(), source.identity(0)), (2, 3, "bob".to_owned()));
}

#[test]
fn what_is_held_out_is_the_rest_and_depends_on_the_seed() {
    let source: Arc<dyn Source> = Arc::new(Noise::new(&[2; 40], 4));
    let names = |part: &Subset| (0..part.num_identities() as u32).map(|label| part.identity(label)).collect::<Vec<_>>();
    let split = |seed| hold_out(&source, Holdout::Fraction(0.25), seed).unwrap();
    let (train, held_out) = split(3);
    assert_eq!((train.num_identities(), held_out.num_identities(), held_out.len()), (30, 10, 20));
    let mut all = [names(&train), names(&held_out)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
    assert_eq!(names(&split(3).1), names(&held_out));
    assert_ne!(names(&split(4).1), names(&held_out));
}

#[test]
fn joined_identities_are_prefixed_or_merged_by_choice() {
    let source = |counts: &[usize]| -> Arc<dyn Source> { Arc::new(Noise::new(counts, 4)) };
    let join = |same_name| {
        JoinedSource::new(vec![("x".into(), source(&[1, 2])), ("y".into(), source(&[3]))], same_name).unwrap()
    };
    let prefixed = join(SameName::Prefix);
    let names: Vec<_> = (0..3).map(|label| prefixed.identity(label)).collect();
    assert_eq!(names, ["x.person0", "person1", "y.person0"]);
    assert_eq!(prefixed.shared(), ["person0"]);
    let merged = join(SameName::Merge);
    assert_eq!(images_by_identity(&merged), [vec![0, 3, 4, 5], vec![1, 2]]);
}

#[test]
fn a_generated_folder_holds_the_same_images() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("faces");
    let source = procedural(3);
    let mut counts = vec![];
    generate(&*source, &target, FileFormat::Png, 2, |count| counts.push(count)).unwrap();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6]);
    let written = FolderSource::open(&target, &FolderOptions::default()).unwrap();
    assert_eq!(written.len(), source.len());
    assert!((0..6).all(|index| written.image(index).unwrap() == source.image(index).unwrap()));
    let stems = keys(&written).into_iter().map(|key| key.trim_end_matches(".png").to_owned());
    assert_eq!(stems.collect::<Vec<_>>(), keys(&*source));
}
