//! The walks of a batch through class centers: cuBLAS for products, kernels of our own for what becomes of them.
//! Knows no margin; shapes and types were checked.

use std::ops::Range;
use std::rc::Rc;

use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;
use candle_core::{DType, Device, Shape, Tensor};

use super::blas::{Factor, Sizes, multiply};
use super::machine::{self, Argument, Machine, arguments};
use super::memory::{Fresh, Held, Pointer, address_of, uploaded};
use crate::ops::centers::{CenterBatch, CenterGradients, ClassSum, LogitRule, OwnCenters, RowSlopes, Slopes};
use crate::{Error, Result};

/// Bytes of a chunk's products, unless a number of classes was asked for.
const CHUNK_BYTES: usize = 256 << 20;
/// Products that lie in 32 bytes.
const ALIGNED: usize = 8;
/// Classes from which on that is worth another chunk.
const MANY: usize = 1024;
/// Classes of a row that one block takes.
const PART: usize = 8192;
/// Threads of a block that takes a part.
const PART_THREADS: u32 = 256;
/// Threads of a block that takes a vector (D).
const ROW_THREADS: u32 = 128;
/// Centers of a block, each with a warp.
const CENTERS: usize = 8;

/// A batch on its way through the classes.
#[derive(Debug)]
pub(in crate::ops) struct Walk {
    machine: Rc<Machine>,
    x: Held,
    centers: Held,
    bias: Option<Held>,
    labels: Held,
    /// The rows by class, each class's in their order, and where the rows of a class begin.
    by_class: (Held, Held),
    /// x̂, unless nothing is normalised.
    unit: Option<Fresh>,
    /// 1/‖w‖ (C, K), unless nothing is normalised.
    inverses: Option<Fresh>,
    /// (B, 2 + 2K): what is known of each row and its own class.
    own: Held,
    /// (C, K, D): the gradients of the centers, and before them the products of the first walk, if they find room.
    regions: Fresh,
    /// Products of a chunk (B, n·K), and then their gradients.
    chunk: Fresh,
    sizes: BatchSizes,
    /// Set by the first walk.
    rule: Option<(LogitRule, Held)>,
}

/// What does not change on the way.
#[derive(Debug, Clone)]
struct BatchSizes {
    /// B.
    rows: usize,
    /// C.
    classes: usize,
    /// K.
    sub_centers: usize,
    /// D.
    width: usize,
    /// Classes in a chunk; the last may have fewer.
    chunk: usize,
    /// Those that the batch has rows of.
    classes_of_rows: usize,
    center_dims: Shape,
}

/// Whether the products of a chunk (B, n·K) find room where its gradients (n·K, D) are going to be.
fn keeps(rows: usize, width: usize) -> bool {
    rows <= width
}

/// As many classes as find room in [`CHUNK_BYTES`].
fn chunk_len(rows: usize, width: usize, classes: usize, sub_centers: usize) -> usize {
    let room = CHUNK_BYTES / (size_of::<f32>() * rows * sub_centers);
    let len = room.clamp(1, classes);
    // Products of many classes are faster where every row begins at a multiple of 32 bytes; the few classes left make a
    // chunk of their own, unless all products were to be made twice for that.
    if keeps(rows, width) && MANY <= len { len / ALIGNED * ALIGNED } else { len }
}

impl BatchSizes {
    fn new(batch: &CenterBatch<'_>, classes_of_rows: usize) -> Result<Self> {
        let (rows, width) = batch.embeddings.dims2()?;
        let classes = batch.centers.dim(0)?;
        let sub_centers = batch.centers.elem_count() / (classes * width);
        let chunk = match batch.classes_at_a_time {
            Some(asked) => asked.clamp(1, classes),
            None => chunk_len(rows, width, classes, sub_centers),
        };
        if (i32::MAX as usize) < chunk * sub_centers {
            return Err(Error::value("classes at a time", "products of a row below 2³¹", chunk * sub_centers));
        }
        let center_dims = batch.centers.shape().clone();
        Ok(Self { rows, classes, sub_centers, width, chunk, classes_of_rows, center_dims })
    }

    fn centers(&self) -> usize {
        self.classes * self.sub_centers
    }

    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (classes, chunk) = (self.classes, self.chunk);
        (0..classes).step_by(chunk).map(move |first| first..classes.min(first + chunk))
    }

    /// See [`keeps`].
    fn keeps(&self) -> bool {
        keeps(self.rows, self.width)
    }

    /// A block for each row and each of its K centers.
    fn by_row(&self, sub_centers: usize) -> machine::Shape {
        machine::Shape { grid: [self.rows as u32, sub_centers as u32], block: [ROW_THREADS, 1], shared: 0 }
    }

    /// A block for each row and each part of `classes`.
    fn by_part(&self, classes: usize) -> machine::Shape {
        machine::Shape { grid: [self.rows as u32, classes.div_ceil(PART) as u32], block: [PART_THREADS, 1], shared: 0 }
    }
}

/// A warp for each of `count` centers.
fn by_center(count: usize) -> machine::Shape {
    machine::Shape { grid: [count.div_ceil(CENTERS) as u32, 1], block: [32, CENTERS as u32], shared: 0 }
}

impl Walk {
    pub(in crate::ops) fn begin(batch: &CenterBatch<'_>) -> Result<(Self, Vec<OwnCenters>)> {
        let machine = Machine::of_tensor(batch.embeddings)?;
        let (order, starts) = by_class(batch.labels);
        let sizes = BatchSizes::new(batch, starts.len() - 1)?;
        let own = machine.fresh(DType::F64, sizes.rows * (2 + 2 * sizes.sub_centers))?;
        let own = own.into_tensor((sizes.rows, 2 + 2 * sizes.sub_centers));
        let mut walk = Self {
            x: Held::new(batch.embeddings)?,
            centers: Held::new(batch.centers)?,
            bias: batch.bias.map(Held::new).transpose()?,
            labels: upload(&machine, batch.labels)?,
            by_class: (upload(&machine, &order)?, upload(&machine, &starts)?),
            unit: None,
            inverses: None,
            own: Held::new(&own)?,
            regions: machine.fresh(DType::F32, sizes.centers() * sizes.width)?,
            chunk: machine.fresh(DType::F32, sizes.rows * sizes.chunk * sizes.sub_centers)?,
            machine,
            sizes,
            rule: None,
        };
        walk.meet_own()?;
        if walk.bias.is_none() {
            walk.normalise()?;
        }
        let known = own.to_vec2::<f64>()?;
        Ok((walk, known.iter().map(|known| own_centers(known)).collect()))
    }

    /// The first walk.
    pub(in crate::ops) fn sums(&mut self, rule: LogitRule, targets: &[f64]) -> Result<Vec<ClassSum>> {
        self.rule = Some((rule, upload(&self.machine, targets)?));
        let rows = self.sizes.rows;
        let count: usize = self.sizes.chunks().map(|classes| classes.len().div_ceil(PART)).sum();
        let parts = self.machine.fresh(DType::F64, count * rows * 2)?;
        let mut before = 0;
        for classes in self.sizes.chunks() {
            let products = self.products(&classes)?;
            let shape = self.sizes.by_part(classes.len());
            let mut arguments = self.chunk_arguments(products, &classes)?;
            arguments.extend(arguments![before, parts.pointer]);
            // SAFETY: the arguments are the kernel's; there are the products of these classes and parts for all.
            #[allow(unsafe_code)]
            unsafe {
                self.machine.launch("log_sums", shape, &arguments)?;
            }
            before += shape.grid[1];
        }
        self.combined(&parts, before, rule.scale)
    }

    /// The second walk.
    pub(in crate::ops) fn gradients(self, slopes: Slopes<'_>) -> Result<CenterGradients> {
        let BatchSizes { rows, classes, width, .. } = self.sizes;
        let of_rows: Vec<f64> = slopes.rows.iter().flat_map(numbers).collect();
        let of_rows = upload(&self.machine, &of_rows)?;
        let d_unit = match slopes.d_unit_embeddings {
            [] => {
                let device = Device::Cuda(self.machine.device().clone());
                Held::new(&Tensor::zeros(rows * width, DType::F64, &device)?)?
            }
            more => upload(&self.machine, more)?,
        };
        let more = match slopes.d_unit_centers {
            [] => None,
            more => Some(upload(&self.machine, more)?),
        };
        let d_bias = self.bias.as_ref().map(|_| self.machine.fresh(DType::F32, classes)).transpose()?;
        let part = self.machine.fresh(DType::F32, rows * width)?;
        for classes in self.sizes.chunks() {
            self.spread(&classes, &of_rows)?;
            if let Some(d_bias) = &d_bias {
                self.sum_columns(&classes, d_bias)?;
            }
            self.multiply_back(&classes, &part, &d_unit)?;
            self.project(&classes, more.as_ref())?;
        }
        self.add_own(&of_rows, d_bias.as_ref())?;
        let embeddings = self.pull_back(&d_unit, &of_rows)?.into_tensor((rows, width));
        let centers = self.regions.into_tensor(self.sizes.center_dims);
        Ok(CenterGradients { embeddings, centers, bias: d_bias.map(|bias| bias.into_tensor(classes)) })
    }

    fn is_plain(&self) -> i32 {
        i32::from(self.bias.is_some())
    }

    /// x̂, or x where nothing is normalised.
    fn unit(&self) -> Pointer {
        self.unit.as_ref().map_or(self.x.pointer, |unit| unit.pointer)
    }

    fn inverses(&self) -> Pointer {
        self.inverses.as_ref().map_or(Pointer::NULL, |inverses| inverses.pointer)
    }

    /// The same place of a chunk in the centers and in their gradients.
    fn place(&self, of: Pointer, classes: &Range<usize>) -> Pointer {
        of.after(classes.start * self.sizes.sub_centers * self.sizes.width * size_of::<f32>())
    }

    fn columns(&self, classes: &Range<usize>) -> usize {
        classes.len() * self.sizes.sub_centers
    }

    fn meet_own(&self) -> Result<()> {
        let arguments = arguments![
            self.x.pointer,
            self.centers.pointer,
            address_of(self.bias.as_ref()),
            self.labels.pointer,
            self.sizes.sub_centers as u32,
            self.sizes.width as u32,
            self.own.pointer,
        ];
        // SAFETY: the arguments are the kernel's; labels are below C, `own` is (B, 2 + 2K).
        #[allow(unsafe_code)]
        unsafe {
            self.machine.launch("own_products", self.sizes.by_row(self.sizes.sub_centers), arguments)
        }
    }

    fn normalise(&mut self) -> Result<()> {
        let BatchSizes { rows, width, .. } = self.sizes;
        let count = self.sizes.centers();
        let unit = self.machine.fresh(DType::F32, rows * width)?;
        let inverses = self.machine.fresh(DType::F32, count)?;
        // SAFETY: the arguments are those of the kernels; x and x̂ are (B, D), the centers (C·K, D).
        #[allow(unsafe_code)]
        unsafe {
            let arguments = arguments![self.x.pointer, width as u32, unit.pointer];
            self.machine.launch("unit_rows", self.sizes.by_row(1), arguments)?;
            let arguments = arguments![self.centers.pointer, count as u64, width as u32, inverses.pointer];
            self.machine.launch("inverse_norms", by_center(count), arguments)?;
        }
        (self.unit, self.inverses) = (Some(unit), Some(inverses));
        Ok(())
    }

    /// x̂·Wᵀ of a chunk (B, n·K), where [`Walk::kept`] finds it.
    fn products(&self, classes: &Range<usize>) -> Result<Pointer> {
        let to = self.kept(classes);
        let BatchSizes { rows, width, .. } = self.sizes;
        let sizes = Sizes { rows, inner: width, columns: self.columns(classes) };
        let centers = Factor::new(self.place(self.centers.pointer, classes), width).transposed();
        // SAFETY: x̂ is (B, D), the centers of the chunk (n·K, D), and there is room for (B, n·K).
        #[allow(unsafe_code)]
        unsafe {
            multiply(&self.machine, sizes, (Factor::new(self.unit(), width), centers, DType::F32), (to, DType::F32))?;
        }
        Ok(to)
    }

    /// Where the products of a chunk lie.
    fn kept(&self, classes: &Range<usize>) -> Pointer {
        if self.sizes.keeps() { self.place(self.regions.pointer, classes) } else { self.chunk.pointer }
    }

    /// The arguments that both walks begin with.
    fn chunk_arguments(&self, products: Pointer, classes: &Range<usize>) -> Result<Vec<Argument>> {
        let Some((rule, targets)) = &self.rule else {
            return Err(Error::Invalid("class centers: the first walk comes before the second".to_owned()));
        };
        let arguments: &[Argument] = arguments![
            products,
            self.columns(classes) as u64,
            self.inverses(),
            address_of(self.bias.as_ref()),
            self.labels.pointer,
            classes.start as u32,
            classes.len() as u32,
            self.sizes.sub_centers as u32,
            rule.softness.map_or(-1.0, |softness| softness as f32),
            rule.hardness.map_or(Pointer::NULL, |_| targets.pointer),
            rule.hardness.unwrap_or_default() as f32,
            rule.scale as f32,
            PART as u32,
        ];
        Ok(arguments.to_vec())
    }

    /// Sums of all parts, on the host.
    fn combined(&self, parts: &Fresh, count: u32, scale: f64) -> Result<Vec<ClassSum>> {
        let rows = self.sizes.rows;
        let sums = self.machine.fresh(DType::F64, rows * 2)?;
        let shape = machine::Shape { grid: [rows.div_ceil(32) as u32, 1], block: [32, 1], shared: 0 };
        // SAFETY: the arguments are the kernel's; there are `count` parts (B, 2), and the sums are (B, 2).
        #[allow(unsafe_code)]
        unsafe {
            let arguments = arguments![parts.pointer, count, rows as u32, scale, sums.pointer];
            self.machine.launch("combine_sums", shape, arguments)?;
        }
        let sums = sums.into_tensor((rows, 2)).to_vec2::<f64>()?;
        Ok(sums.iter().map(|sum| ClassSum { top: sum[0], sum: sum[1] }).collect())
    }

    /// Makes gradients of a chunk's products.
    fn spread(&self, classes: &Range<usize>, slopes: &Held) -> Result<()> {
        let is_there = self.sizes.keeps() || self.sizes.chunk == self.sizes.classes;
        let products = if is_there { self.kept(classes) } else { self.products(classes)? };
        let mut arguments = self.chunk_arguments(products, classes)?;
        arguments.extend(arguments![slopes.pointer, self.chunk.pointer, self.columns(classes) as u64]);
        // SAFETY: the arguments are the kernel's; products and gradients are (B, n·K), slopes (B, 3 + 2K).
        #[allow(unsafe_code)]
        unsafe {
            self.machine.launch("spread_gradients", self.sizes.by_part(classes.len()), &arguments)
        }
    }

    fn sum_columns(&self, classes: &Range<usize>, d_bias: &Fresh) -> Result<()> {
        let to = d_bias.pointer.after(classes.start * size_of::<f32>());
        let count = classes.len() as u32;
        let arguments = arguments![self.chunk.pointer, u64::from(count), self.sizes.rows as u32, count, to];
        let shape = machine::Shape { grid: [count.div_ceil(256), 1], block: [256, 1], shared: 0 };
        // SAFETY: the arguments are the kernel's; with a bias K is 1, so that the gradients are (B, n).
        #[allow(unsafe_code)]
        unsafe {
            self.machine.launch("bias_gradients", shape, arguments)
        }
    }

    /// Adds g·W to the gradient of x̂ and writes gᵀ·x̂, a chunk's gradients of the centers.
    fn multiply_back(&self, classes: &Range<usize>, part: &Fresh, d_unit: &Held) -> Result<()> {
        let BatchSizes { rows, width, .. } = self.sizes;
        let columns = self.columns(classes);
        let gradients = Factor::new(self.chunk.pointer, columns);
        let centers = Factor::new(self.place(self.centers.pointer, classes), width);
        let count = rows * width;
        // SAFETY: gradients are (B, n·K), the centers of the chunk and theirs (n·K, D), all of x (B, D).
        #[allow(unsafe_code)]
        unsafe {
            let sizes = Sizes { rows, inner: columns, columns: width };
            multiply(&self.machine, sizes, (gradients, centers, DType::F32), (part.pointer, DType::F32))?;
            let arguments = arguments![part.pointer, count as u64, d_unit.pointer];
            self.machine.launch("add_part", machine::Shape::over(count), arguments)?;
            let sizes = Sizes { rows: columns, inner: rows, columns: width };
            let factors = (gradients.transposed(), Factor::new(self.unit(), width), DType::F32);
            multiply(&self.machine, sizes, factors, (self.place(self.regions.pointer, classes), DType::F32))
        }
    }

    fn project(&self, classes: &Range<usize>, more: Option<&Held>) -> Result<()> {
        let Some(inverses) = &self.inverses else { return Ok(()) };
        let (first, count) = (classes.start * self.sizes.sub_centers, self.columns(classes));
        let more = more.map_or(Pointer::NULL, |more| more.pointer.after(first * self.sizes.width * size_of::<f64>()));
        let arguments = arguments![
            self.place(self.regions.pointer, classes),
            self.place(self.centers.pointer, classes),
            inverses.pointer.after(first * size_of::<f32>()),
            more,
            count as u64,
            self.sizes.width as u32,
        ];
        // SAFETY: the arguments are the kernel's; gradients, centers and `more` are (n·K, D), inverse norms (n·K).
        #[allow(unsafe_code)]
        unsafe {
            self.machine.launch("project_gradients", by_center(count), arguments)
        }
    }

    /// What the rows give to the centers of their own classes.
    fn add_own(&self, slopes: &Held, d_bias: Option<&Fresh>) -> Result<()> {
        let (order, starts) = &self.by_class;
        let arguments = arguments![
            self.x.pointer,
            self.centers.pointer,
            self.own.pointer,
            slopes.pointer,
            self.labels.pointer,
            order.pointer,
            starts.pointer,
            self.sizes.sub_centers as u32,
            self.sizes.width as u32,
            self.is_plain(),
            self.regions.pointer,
            d_bias.map_or(Pointer::NULL, |d_bias| d_bias.pointer),
        ];
        let grid = [self.sizes.classes_of_rows as u32, self.sizes.sub_centers as u32];
        // SAFETY: the arguments are the kernel's; every class of the batch has one block for each of its centers.
        #[allow(unsafe_code)]
        unsafe {
            self.machine.launch(
                "own_center_gradients",
                machine::Shape { grid, block: [ROW_THREADS, 1], shared: 0 },
                arguments,
            )
        }
    }

    fn pull_back(&self, d_unit: &Held, slopes: &Held) -> Result<Fresh> {
        let gradients = self.machine.fresh(DType::F32, self.sizes.rows * self.sizes.width)?;
        let arguments = arguments![
            self.x.pointer,
            d_unit.pointer,
            self.centers.pointer,
            self.own.pointer,
            slopes.pointer,
            self.labels.pointer,
            self.sizes.sub_centers as u32,
            self.sizes.width as u32,
            self.is_plain(),
            gradients.pointer,
        ];
        // SAFETY: the arguments are the kernel's; all of x is (B, D).
        #[allow(unsafe_code)]
        unsafe {
            self.machine.launch("embedding_gradients", self.sizes.by_row(1), arguments)?;
        }
        Ok(gradients)
    }
}

/// The rows in the order of their labels, each class's in their own, and where each class's begin and the last's end.
fn by_class(labels: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    let label = |row: u32| labels[row as usize];
    order.sort_by_key(|&row| label(row));
    let begins = (0..order.len()).filter(|&at| at == 0 || label(order[at - 1]) != label(order[at]));
    let starts = begins.chain([order.len()]).map(|at| at as u32).collect();
    (order, starts)
}

/// A row's numbers as the kernels find them.
fn numbers(row: &RowSlopes) -> impl Iterator<Item = f64> + '_ {
    [row.shift, row.factor, row.d_norm].into_iter().chain(row.d_own.iter().chain(&row.cosines).copied())
}

fn own_centers(known: &[f64]) -> OwnCenters {
    let (products, norms) = known[2..].split_at((known.len() - 2) / 2);
    OwnCenters { norm: known[0], bias: known[1], products: products.to_vec(), norms: norms.to_vec() }
}

/// The centers of `classes`.
pub(in crate::ops) fn select(centers: &Tensor, classes: &[u32]) -> Result<Tensor> {
    let machine = Machine::of_tensor(centers)?;
    let places = uploaded(&machine, classes)?;
    Ok(centers.detach().contiguous()?.index_select(&places, 0)?)
}

/// `values` on the device.
fn upload<T: CudaDType + DeviceRepr>(machine: &Machine, values: &[T]) -> Result<Held> {
    Held::new(&uploaded(machine, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_finds_room_and_is_aligned() {
        assert_eq!(chunk_len(128, 512, 85_742, 1), 85_736);
        assert_eq!(chunk_len(1024, 512, 65_001, 1), 65_001);
        assert_eq!(chunk_len(128, 512, 2_000_000, 3), 174_760);
        assert_eq!([chunk_len(1, 8, 5, 1), chunk_len(1 << 30, 8, 5, 1)], [5, 1]);
        assert_eq!([chunk_len(8, 8, 1023, 1), chunk_len(8, 8, 1025, 1)], [1023, 1024]);
    }

    #[test]
    fn rows_of_a_class_lie_together_in_their_order() {
        assert_eq!(by_class(&[3, 0, 3, 7, 0, 3]), (vec![1, 4, 0, 2, 5, 3], vec![0, 2, 5, 6]));
        assert_eq!(by_class(&[5]), (vec![0], vec![0, 1]));
    }
}
