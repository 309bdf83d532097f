//! From what people call a class to its index.

use std::collections::HashMap;

use crate::labels;
use crate::session::Model;

/// Finds a network's classes by what people call them: label, WordNet id, number.
#[derive(Clone, Debug)]
pub struct ClassIndex {
    classes: usize,
    /// By normalised label; `None` where several classes have it.
    labels: HashMap<String, Option<usize>>,
    /// Empty for networks that are not ImageNet's by their number of classes.
    wnids: HashMap<&'static str, usize>,
}

impl ClassIndex {
    /// For a network of that many classes, with these labels if it has some. One of 1000 classes is
    /// taken to have ImageNet-1k's in their standard order where WordNet ids are concerned.
    pub fn new(classes: usize, names: Option<&[String]>) -> Self {
        let mut by_label = HashMap::new();
        for (class, name) in names.unwrap_or_default().iter().enumerate().take(classes) {
            by_label.entry(labels::normalised(name)).and_modify(|known| *known = None).or_insert(Some(class));
        }
        let imagenet = classes == labels::IMAGENET1K_CLASSES;
        let wnids = labels::imagenet1k_wnids().take(if imagenet { classes } else { 0 });
        ClassIndex { classes, labels: by_label, wnids: wnids.zip(0..).collect() }
    }

    /// For this model.
    pub fn of(model: &Model) -> Self {
        ClassIndex::new(model.classes(), model.labels())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class of that label; neither case nor spaces, underscores and hyphens count. `None` if
    /// there is none, or more than one.
    pub fn by_label(&self, name: &str) -> Option<usize> {
        self.labels.get(&labels::normalised(name)).copied().flatten()
    }

    /// The class of that WordNet id.
    pub fn by_wnid(&self, id: &str) -> Option<usize> {
        self.wnids.get(id.trim()).copied()
    }

    /// The class of that number, WordNet id or label, tried in this order.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(&self, text: &str) -> Result<usize, String> {
        let text = text.trim();
        match text.parse::<usize>() {
            Ok(class) if class < self.classes => return Ok(class),
            Ok(class) if self.by_label(text).is_none() => {
                return Err(format!("class {class} is not in 0 to {}", self.classes.saturating_sub(1)));
            }
            _ => {}
        }
        let found = self.by_wnid(text).or_else(|| self.by_label(text));
        found.ok_or_else(|| {
            let what = if self.wnids.is_empty() { "number or label" } else { "number, WordNet id or label" };
            let shown: String = text.chars().take(60).collect();
            format!("{shown:?} is no {what} of the model's {} classes", self.classes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_go_by_number_label_and_wnid() {
        let names: Vec<String> = ["Big Cat", "dog", "dog"].map(str::to_owned).to_vec();
        let index = ClassIndex::new(3, Some(&names));
        assert_eq!((index.parse("2"), index.parse(" big_cat "), index.by_label("BIG-CAT")), (Ok(2), Ok(0), Some(0)));
        assert!(index.parse("3").unwrap_err().contains("0 to 2"));
        assert!(index.parse("dog").is_err() && index.by_label("dog").is_none(), "two classes are called that");
        assert!(index.parse("n01440764").is_err() && index.parse("").is_err() && index.parse("-1").is_err());

        let imagenet = ClassIndex::new(1000, None);
        assert_eq!((imagenet.parse("n02123045"), imagenet.by_wnid("n01440764")), (Ok(281), Some(0)));
        assert!(imagenet.parse("tabby").unwrap_err().contains("WordNet"), "it was given no labels");
        let names = labels::named("imagenet1k").unwrap();
        assert_eq!(ClassIndex::new(1000, Some(&names)).parse("Tabby"), Ok(281));
    }

    #[test]
    fn labels_may_be_numbers() {
        let names: Vec<String> = ["1900", "2000"].map(str::to_owned).to_vec();
        let index = ClassIndex::new(2, Some(&names));
        assert_eq!((index.parse("2000"), index.parse("1")), (Ok(1), Ok(1)));
        assert!(index.parse("2").is_err());
    }
}
