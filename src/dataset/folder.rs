//! A folder per class.

use std::path::Path;

use super::{ClassIndex, Dataset, Mapping, Sample, count, fault, some, walk};
use crate::error::Result;

pub(super) fn read(dir: &Path, classes: &ClassIndex) -> Result<Dataset> {
    let top = walk::shallow(dir)?;
    if top.folders.is_empty() {
        let reason = match top.pictures.len() {
            0 => "there is nothing to evaluate in this folder: a folder of pictures per class is wanted".to_owned(),
            n => format!(
                "{} but no folder per class; a truth file (--truth FILE) says what pictures show",
                count(n, "picture")
            ),
        };
        return Err(fault(dir, reason));
    }
    let names: Vec<String> = top.folders.iter().map(name).collect();
    let (assigned, mapping) = assign(&names, classes).map_err(|reason| fault(dir, reason))?;

    let (mut samples, mut empty) = (Vec::new(), Vec::new());
    let mut rest = walk::Found { others: top.others, special: top.special, ..walk::Found::default() };
    for ((folder, name), class) in top.folders.iter().zip(&names).zip(assigned) {
        let found = walk::deep(folder)?;
        if found.pictures.is_empty() {
            empty.push(name.as_str());
        }
        rest.others += found.others;
        rest.special.extend(found.special);
        samples.extend(found.pictures.into_iter().map(|path| Sample { path, class }));
    }
    if samples.is_empty() {
        return Err(fault(
            dir,
            format!(
                "there is no picture in its {} ({})",
                count(names.len(), "folder"),
                count(rest.others + rest.special.len(), "other file")
            ),
        ));
    }
    let mut notes = Vec::new();
    if !empty.is_empty() {
        notes.push(format!("no picture in {} of {} folders: {}", empty.len(), names.len(), some(empty.into_iter())));
    }
    if !top.pictures.is_empty() {
        let loose = count(top.pictures.len(), "picture");
        notes.push(format!("passed over: {loose} outside the folders of classes"));
    }
    if rest.others > 0 {
        notes.push(format!("passed over: {} not called like pictures", count(rest.others, "file")));
    }
    notes.extend(rest.passed_over());
    Ok(Dataset { samples, mapping, notes })
}

fn name(folder: impl AsRef<Path>) -> String {
    folder.as_ref().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The class of each folder, from their names in alphabetical order.
fn assign(names: &[String], classes: &ClassIndex) -> Result<(Vec<usize>, Mapping), String> {
    let by_label: Vec<_> = names.iter().map(|name| classes.by_label(name)).collect();
    let by_wnid: Vec<_> = names.iter().map(|name| classes.by_wnid(name)).collect();
    for (found, mapping) in [(&by_label, Mapping::Labels), (&by_wnid, Mapping::Wnids)] {
        if let Some(all) = found.iter().copied().collect::<Option<Vec<usize>>>() {
            return Ok((all, mapping));
        }
    }
    // Where some names are known, alphabetical order would be a guess against what they say.
    for (found, what) in [(by_label, "labels"), (by_wnid, "WordNet ids")] {
        if found.iter().any(Option::is_some) {
            let strange = names.iter().zip(&found).filter(|(_, class)| class.is_none()).map(|(name, _)| name.as_str());
            let strange: Vec<&str> = strange.collect();
            return Err(format!(
                "{} of {} folders are called like the model's {what}, but {} like none or like several: {}; rename \
                 them, or say with --labels what the classes are called",
                names.len() - strange.len(),
                names.len(),
                strange.len(),
                some(strange.into_iter())
            ));
        }
    }
    if names.len() != classes.classes() {
        return Err(format!(
            "has {} ({}), not called like labels of the model, and the model has {} classes; call them like its \
             labels, give its labels with --labels, or give a truth file with --truth",
            count(names.len(), "folder"),
            some(names.iter().map(String::as_str)),
            classes.classes()
        ));
    }
    let numbers: Option<Vec<u64>> = names.iter().map(|name| name.parse().ok()).collect();
    if numbers.is_some_and(|numbers| !numbers.is_sorted()) {
        return Err("its folders are called by numbers, whose alphabetical order (1, 10, 2) is not their order; add \
             zeros in front (01, 02, 10), or give a truth file with --truth"
            .to_owned());
    }
    Ok(((0..names.len()).collect(), Mapping::Alphabetical))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;

    fn assigned(names: &[&str], classes: &ClassIndex) -> Result<(Vec<usize>, Mapping), String> {
        assign(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), classes)
    }

    fn three() -> ClassIndex {
        ClassIndex::new(3, Some(&["big dog", "cat", "bird"].map(str::to_owned)))
    }

    #[test]
    fn labels_go_before_order_and_need_not_be_all() {
        assert_eq!(assigned(&["Big_Dog", "bird", "CAT"], &three()), Ok((vec![0, 2, 1], Mapping::Labels)));
        assert_eq!(assigned(&["cat"], &three()), Ok((vec![1], Mapping::Labels)));
        assert_eq!(assigned(&["x", "y", "z"], &three()), Ok((vec![0, 1, 2], Mapping::Alphabetical)));
    }

    #[test]
    fn wnids_are_for_imagenet() {
        let imagenet = ClassIndex::new(1000, Some(&labels::named("imagenet1k").unwrap()));
        assert_eq!(assigned(&["n01443537", "n02123045"], &imagenet), Ok((vec![1, 281], Mapping::Wnids)));
        assert_eq!(assigned(&["Tabby", "tench"], &imagenet), Ok((vec![281, 0], Mapping::Labels)));
        let error = assigned(&["n01443537", "n99999999"], &imagenet).unwrap_err();
        assert!(error.contains("WordNet ids") && error.contains("\"n99999999\""), "{error}");
        assert!(assigned(&["n01443537"], &three()).is_err());
    }

    #[test]
    fn what_would_be_a_guess_is_refused() {
        let error = assigned(&["bird", "cat", "dig bog"], &three()).unwrap_err();
        assert!(error.contains("2 of 3") && error.contains("\"dig bog\"") && error.contains("--labels"), "{error}");
        let error = assigned(&["x", "y"], &three()).unwrap_err();
        assert!(error.contains("has 2 folders") && error.contains("3 classes"), "{error}");
        let ten = ClassIndex::new(11, None);
        let numbers: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let mut sorted: Vec<&str> = numbers.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        assert!(assigned(&sorted, &ten).unwrap_err().contains("zeros in front"));
        let padded: Vec<String> = (1..12).map(|n| format!("{n:02}")).collect();
        let padded: Vec<&str> = padded.iter().map(String::as_str).collect();
        assert_eq!(assigned(&padded, &ten).unwrap().1, Mapping::Alphabetical);
    }

    #[test]
    fn folders_are_read_and_what_is_passed_over_is_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let error = read(root, &three()).unwrap_err().to_string();
        assert!(error.contains("nothing to evaluate"), "{error}");
        std::fs::write(root.join("loose.png"), "").unwrap();
        let error = read(root, &three()).unwrap_err().to_string();
        assert!(error.contains("1 picture but") && error.contains("--truth"), "{error}");
        for folder in ["bird", "cat/more", ".git"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let error = read(root, &three()).unwrap_err().to_string();
        assert!(error.contains("no picture in its 2 folders"), "{error}");
        for file in ["cat/2.png", "cat/1.txt", "cat/more/1.png"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        let set = read(root, &three()).unwrap();
        let expected = ["cat/2.png", "cat/more/1.png"].map(|path| Sample { path: root.join(path), class: 1 });
        assert_eq!((set.samples(), set.mapping()), (&expected[..], Mapping::Labels));
        assert_eq!(set.notes().len(), 3, "{:?}", set.notes());
        assert!(set.notes()[0].contains("1 of 2 folders: \"bird\""), "{:?}", set.notes());
    }
}
