//! `export`, and verification sets in one file: the same numbers and figures come back.

use std::fs;

use arcface_models::weights::read;
use insta::assert_snapshot;
use serde_json::Value;
use tempfile::tempdir;

use crate::tiny::{fail, succeed, train, xtask};

#[test]
fn weights_go_to_torch_s_form_and_back() {
    let folder = tempdir().unwrap();
    let own = "runs/one/weights.safetensors";
    succeed(&mut train(folder.path(), "one", &["train.epochs=1", "eval.baselines=false"]));
    for (net, out) in [("runs/one", "net.pth"), ("net.pth", "back.safetensors"), (own, "again.pth")] {
        succeed(xtask(folder.path()).args(["export", net, "--out", out]));
    }
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(bytes(own) == bytes("back.safetensors"));
    assert!(bytes("net.pth") == bytes("again.pth"));
    let file = read(&folder.path().join("net.pth")).unwrap();
    assert_eq!(file.order[..3], ["stem.conv.weight", "stem.bn.weight", "stem.bn.bias"], "the order of the layers");
    let eval = |net: &str| -> Value {
        let list = ["--images", "faces", "--pairs", "pairs.csv", "--mirror", "--json"];
        serde_json::from_slice(&succeed(xtask(folder.path()).args(["eval", net]).args(list)).stdout).unwrap()
    };
    let sizes = ["--identities", "6", "--images-per-identity", "4", "--size", "32"];
    succeed(xtask(folder.path()).args(["data", "generate", "faces"]).args(sizes));
    let pairs = ["data", "pairs", "faces", "--out", "pairs.csv", "--count", "40", "--folds", "10"];
    succeed(xtask(folder.path()).args(pairs));
    let figures = ["accuracies", "tar_at_far", "auc", "threshold", "genuine"];
    let expected = eval(own);
    let check = |found: &Value| {
        for figure in figures {
            assert_eq!(found[figure], expected[figure], "{figure}");
        }
    };
    check(&eval("net.pth"));

    succeed(xtask(folder.path()).args(["data", "bin", "pairs.csv", "--images", "faces", "--out", "faces.bin"]));
    let packed = succeed(xtask(folder.path()).args(["eval", "net.pth", "--bin", "faces.bin", "--mirror", "--json"]));
    check(&serde_json::from_slice(&packed.stdout).unwrap());
    let looked = succeed(xtask(folder.path()).args(["data", "inspect", "faces.bin", "--depth", "pixels"]));
    assert_snapshot!(String::from_utf8_lossy(&looked.stdout), @r"
    pairs                40 (20 genuine, 20 impostors)
    folds                10, in the order of the file
    images               80
    size                 32×32: 80 images
    ");
}

#[test]
fn files_that_cannot_be_read_or_written_are_refused() {
    let folder = tempdir().unwrap();
    let told = |arguments: &[&str]| fail(xtask(folder.path()).args(arguments));
    fs::write(folder.path().join("old.bin"), "text").unwrap();
    fs::write(folder.path().join("old.pth"), b"\x80\x02cos\nsystem\n.").unwrap();
    assert_snapshot!(told(&["export", "nowhere", "--out", "net.onnx"]), @"error: net.onnx: expected a file that ends in .pth, .pt, .ckpt or .safetensors");
    assert_snapshot!(told(&["export", "nowhere", "--out", "net.pth"]), @"error: nowhere: No such file or directory (os error 2)");
    assert_snapshot!(told(&["export", "old.pth", "--out", "old.pth"]), @"error: old.pth: expected a new file, found one; choose another name");
    assert_snapshot!(told(&["export", "old.pth", "--out", "new.pth"]), @"error: old.pth: pickle, byte 2: `os.system` is not among the names of plain data, numpy arrays and torch tensors; nothing was run: save arrays or a state dict alone");
    assert_snapshot!(told(&["data", "inspect", "old.bin"]), @"error: old.bin: pickle, byte 0: expected an open container, found none; the pickle is damaged");
    assert_snapshot!(told(&["data", "convert", "old.bin", "faces"]), @"error: old.bin: expected a set of identities, found a verification set, which has pairs alone; look at it with `data inspect`, verify with `eval --bin`");
    assert_snapshot!(told(&["data", "inspect", "old.bin", "--identities", "list"]), @"error: --identities: old.bin is one file, without identities");
    assert_snapshot!(told(&["data", "bin", "pairs.csv", "--images", "faces", "--out", "old.bin"]), @"error: old.bin: expected a new file, found one; choose another name");
    assert_snapshot!(told(&["data", "bin", "pairs.csv", "--images", "faces", "--out", "new.bin"]), @"error: pairs.csv: no such file; check the path");
}
