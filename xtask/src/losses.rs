//! `cargo xtask losses`: the losses that are linked in, and one of them on given embeddings.
//! Knows no formula and no training.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use arcface_core::candle::{DType, Tensor};
use arcface_core::checkpoint::{load_tensors, save_tensors};
use arcface_losses::{LossEntry, Objective, defaults};
use serde_json::Value;
use toml::Table;

use crate::cli::{LossesArguments, LossesCommand, LossesEvalArguments};
use crate::{assign, output};

/// The tensors that `losses eval` reads.
const INPUTS: [&str; 4] = ["embeddings", "centers", "labels", "bias"];

/// Lists the losses, or evaluates one.
///
/// # Errors
/// If two losses have one name, or as [`evaluate`].
pub(crate) fn run(arguments: &LossesArguments) -> anyhow::Result<()> {
    match &arguments.command {
        Some(LossesCommand::Eval(arguments)) => evaluate(arguments),
        None if arguments.json => {
            let all = arcface_losses::losses()?.into_iter().map(document).collect::<anyhow::Result<Vec<_>>>()?;
            output::json(&all)
        }
        None => output::text(&list(&arcface_losses::losses()?)),
    }
}

/// Name, kind, formula and description, with the default parameters.
fn document(entry: &LossEntry) -> anyhow::Result<Value> {
    let about: &arcface_losses::registry::About = entry;
    let mut document = serde_json::to_value(about)?;
    document["parameters"] = serde_json::to_value(defaults(entry.name)?)?;
    Ok(document)
}

fn list(losses: &[&LossEntry]) -> String {
    let width = losses.iter().map(|loss| loss.name.len()).max().unwrap_or(0);
    let kind = |loss: &LossEntry| format!("{:?}", loss.kind).to_lowercase();
    let line = |loss: &&LossEntry| {
        let (name, kind, formula, summary) = (loss.name, kind(loss), loss.formula, loss.summary);
        format!("{name:<width$}  {kind:<6}  {formula}\n{:<width$}          {summary}\n", "")
    };
    losses.iter().map(line).collect()
}

/// Computes a loss and its gradients on the tensors of a file, and writes them into another.
///
/// # Errors
/// If a file cannot be read or written, a tensor is missing, unknown or misshaped, a label is no class, or a parameter
/// is wrong.
fn evaluate(arguments: &LossesEvalArguments) -> anyhow::Result<()> {
    let parameters = parameters(&arguments.set)?;
    // Faults of name and parameters alone are told before the file is read, and without its name.
    arcface_losses::resolve(&arguments.name, &parameters)?;
    refuse_to_replace_input(arguments)?;
    let (tensors, _) = load_tensors(&arguments.input)?;
    let place = || arguments.input.display().to_string();
    let input = Input::new(tensors, arguments).with_context(place)?;
    let centers = input.centers.as_ref();
    let mut objective = Objective::from_centers(
        &arguments.name,
        &parameters,
        centers.unwrap_or(&input.no_centers()?),
        input.bias.as_ref(),
    )
    .with_context(place)?;
    let result = objective.evaluate(&input.embeddings, &input.labels, arguments.step).with_context(place)?;
    let left_aside = input.bias.is_some() && result.d_bias.is_none();
    let mut output = BTreeMap::from([("loss", result.loss), ("d_embeddings", result.d_embeddings)]);
    output.extend(centers.map(|_| ("d_centers", result.d_centers)));
    output.extend(result.d_bias.map(|d_bias| ("d_bias", d_bias)));
    let loss: f64 = output["loss"].to_dtype(DType::F64)?.to_scalar()?;
    let output = output.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    save_tensors(&arguments.output, &output, &BTreeMap::new())?;
    let note = if left_aside { "; `bias` was left aside, this loss has none" } else { "" };
    eprintln!("{}: loss {loss}, written to {}{note}", arguments.name, arguments.output.display());
    Ok(())
}

/// An output over its own input would leave nothing to repeat the computation with.
fn refuse_to_replace_input(arguments: &LossesEvalArguments) -> anyhow::Result<()> {
    let (input, output) = (arguments.input.canonicalize(), arguments.output.canonicalize());
    if input.ok().zip(output.ok()).is_some_and(|(input, output)| input == output) {
        bail!("--output {}: is the input; choose another name", arguments.output.display());
    }
    Ok(())
}

/// What a loss is computed on.
struct Input {
    embeddings: Tensor,
    /// Absent for a loss that needs none.
    centers: Option<Tensor>,
    labels: Vec<u32>,
    bias: Option<Tensor>,
}

impl Input {
    fn new(mut tensors: NamedTensorMap, arguments: &LossesEvalArguments) -> anyhow::Result<Self> {
        if let Some(name) = tensors.keys().find(|name| !INPUTS.contains(&name.as_str())) {
            bail!("tensor `{name}`: expected no others than {}", INPUTS.join(", "));
        }
        let mut take = |name: &str| tensors.remove(name);
        let embeddings = take("embeddings").context("tensor `embeddings` (B, D) is missing")?;
        let dtype = dtype(arguments.dtype.as_deref(), &embeddings)?;
        let labels = take("labels").context("tensor `labels` (B) is missing")?;
        let centers = take("centers");
        if centers.is_none() && needs_centers(&arguments.name)? {
            bail!("tensor `centers` (C, D) or (C, K, D) is missing; `{}` needs class centers", arguments.name);
        }
        let labels = read_labels(&labels)?;
        let labels = if centers.is_none() { ranks(&labels) } else { labels };
        Ok(Self {
            embeddings: float("embeddings", &embeddings, dtype)?,
            centers: centers.map(|centers| float("centers", &centers, dtype)).transpose()?,
            labels,
            bias: take("bias").map(|bias| float("bias", &bias, dtype)).transpose()?,
        })
    }

    /// For a loss that has no class centers: their number and size still bound labels and embeddings.
    fn no_centers(&self) -> anyhow::Result<Tensor> {
        let classes = self.labels.iter().max().map_or(1, |most| *most as usize + 1);
        let size = self.embeddings.dims().last().copied().unwrap_or(1);
        Ok(Tensor::zeros((classes, size), self.embeddings.dtype(), self.embeddings.device())?)
    }
}

/// Tensors by name.
type NamedTensorMap = BTreeMap<String, Tensor>;

/// Whether the loss has centers of its own; one that stands alone has not.
fn needs_centers(name: &str) -> anyhow::Result<bool> {
    Ok(arcface_losses::find(name)?.has_centers())
}

fn dtype(asked: Option<&str>, embeddings: &Tensor) -> anyhow::Result<DType> {
    match asked {
        Some("f32") => Ok(DType::F32),
        Some("f64") => Ok(DType::F64),
        Some(other) => bail!("--dtype: expected f32 or f64, got `{other}`"),
        None if embeddings.dtype() == DType::F64 => Ok(DType::F64),
        None => Ok(DType::F32),
    }
}

fn float(name: &str, tensor: &Tensor, dtype: DType) -> anyhow::Result<Tensor> {
    if !tensor.dtype().is_float() {
        bail!("tensor `{name}`: expected floating-point numbers, got {}", tensor.dtype().as_str());
    }
    Ok(tensor.to_dtype(dtype)?)
}

/// Labels (B) from whole numbers of any type.
fn read_labels(labels: &Tensor) -> anyhow::Result<Vec<u32>> {
    let [_] = labels.dims() else { bail!("tensor `labels`: expected shape (B), got {:?}", labels.dims()) };
    if labels.dtype().is_float() {
        bail!("tensor `labels`: expected whole numbers, got {}", labels.dtype().as_str());
    }
    let label = |(row, label): (usize, i64)| {
        let class = u32::try_from(label).ok();
        class.with_context(|| {
            format!("tensor `labels`: row {row}: expected a class from 0 to {}, got {label}", u32::MAX)
        })
    };
    labels.to_dtype(DType::I64)?.to_vec1()?.into_iter().enumerate().map(label).collect()
}

/// Labels numbered densely: without centers they only tell same from other, and large ones must cost no memory.
fn ranks(labels: &[u32]) -> Vec<u32> {
    let distinct: BTreeSet<u32> = labels.iter().copied().collect();
    let ranks: BTreeMap<u32, u32> = distinct.into_iter().zip(0..).collect();
    labels.iter().map(|label| ranks[label]).collect()
}

fn parameters(set: &[String]) -> anyhow::Result<Table> {
    let mut table = Table::new();
    for text in set {
        let (path, value) = assign::parse(text)?;
        // The keys of `[loss]`, with or without its name before them.
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ([key] | ["loss", key]) = path.as_slice() else {
            bail!("--set {text}: expected a parameter of the loss, such as margin=0.3");
        };
        table.insert((*key).to_owned(), value);
    }
    Ok(table)
}
