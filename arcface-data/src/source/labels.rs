//! Labels of a source whose identities are numbers in its files.
//! Knows no file; what a number or a name is read from is the source's business.

/// Labels 0, 1, … in the order of the numbers, and the numbers, which name the identities unless they have names.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    of_images: Vec<u32>,
    /// The number in the file of each label.
    numbers: Vec<u32>,
    /// The name of each label; empty where numbers name them.
    names: Vec<String>,
}

impl Labels {
    /// From the number of each image.
    pub(super) fn new(mut labels: Vec<u32>) -> Self {
        let mut numbers = labels.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let is_contiguous = numbers.last().is_some_and(|last| *last as usize + 1 == numbers.len());
        if !is_contiguous {
            for label in &mut labels {
                *label = numbers.binary_search(label).unwrap_or_default() as u32;
            }
        }
        Self { of_images: labels, numbers, names: Vec::new() }
    }

    /// With a name for every identity, in the order of their numbers.
    pub(super) fn named(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }

    /// Images.
    pub(super) fn len(&self) -> usize {
        self.of_images.len()
    }

    pub(super) fn num_identities(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn label(&self, index: usize) -> u32 {
        self.of_images[index]
    }

    pub(super) fn identity(&self, label: u32) -> String {
        self.names.get(label as usize).cloned().unwrap_or_else(|| self.numbers[label as usize].to_string())
    }

    /// The number in the file of image `index`.
    pub(super) fn number(&self, index: usize) -> u32 {
        self.numbers[self.of_images[index] as usize]
    }
}
