//! What `foveate eval` prints, as JSON and as lines of text.

use foveate::dataset::Mapping;
use foveate::eval::{Agreement, Confusion, Evaluation, Limit, Paired, Speed, Tally, statistics};
use foveate::models::Form;
use foveate::{DeviceInfo, Precision, Session};
use serde::Serialize;

use crate::cli::table::shown;

/// Most confused pairs that are printed.
const PAIRS: usize = 10;

/// Networks of at most this many classes get their whole confusion matrix, others its pairs.
const MATRIX: usize = 100;

/// The result, in the form of its JSON.
#[derive(Serialize)]
pub struct Report<'a> {
    schema_version: u32,
    dir: String,
    /// How pictures were assigned to classes.
    mapping: Mapping,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth: Option<String>,
    classes: usize,
    /// Pictures that were run.
    pictures: usize,
    unreadable: Vec<Unreadable>,
    contenders: Vec<Contender<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
    speed: Rates,
}

#[derive(Serialize)]
struct Unreadable {
    path: String,
    reason: String,
}

/// One network's results.
#[derive(Serialize)]
pub struct Contender<'a> {
    /// The file or name that was given; `built-in` if none was.
    source: String,
    source_sha256: &'a str,
    model: &'a str,
    form: Form,
    precision: Precision,
    device: &'a DeviceInfo,
    batch: usize,
    top1: Share,
    top5: Share,
    images_per_s: f64,
    /// The classes that there are pictures of.
    per_class: Vec<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confusion_matrix: Option<Vec<Vec<u64>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confusions: Option<Vec<Confusion>>,
    #[serde(skip)]
    confused: Vec<String>,
}

/// A part of all pictures, with its 95 % interval.
#[derive(Serialize)]
struct Share {
    count: u64,
    total: u64,
    rate: f64,
    interval: [f64; 2],
}

#[derive(Serialize)]
struct Class {
    class: usize,
    label: String,
    total: u64,
    top1: u64,
    top5: u64,
}

#[derive(Serialize)]
struct Comparison {
    agreement: Agreement,
    right: Paired,
    /// Top-1 of the second contender minus that of the first.
    top1_difference: f64,
    /// Its 95 % interval.
    interval: [f64; 2],
}

#[derive(Serialize)]
struct Rates {
    wall_s: f64,
    images_per_s: f64,
    decode_images_per_s: f64,
    network_images_per_s: f64,
    decode_threads: usize,
    limit: Limit,
}

impl<'a> Report<'a> {
    pub fn new(
        dir: String,
        mapping: Mapping,
        truth: Option<String>,
        contenders: Vec<Contender<'a>>,
        evaluation: &Evaluation,
    ) -> Self {
        let classes = evaluation.first.classes().len();
        let unreadable = evaluation.unreadable.iter();
        let unreadable =
            unreadable.map(|u| Unreadable { path: u.path.display().to_string(), reason: u.error.to_string() });
        let comparison = evaluation.second.as_ref().map(|(_, right, agreement)| Comparison {
            agreement: *agreement,
            right: *right,
            top1_difference: right.difference(),
            interval: right.interval(),
        });
        Report {
            schema_version: 1,
            dir,
            mapping,
            truth,
            classes,
            pictures: evaluation.speed.pictures,
            unreadable: unreadable.collect(),
            contenders,
            comparison,
            speed: Rates::new(&evaluation.speed),
        }
    }

    /// The text.
    pub fn lines(&self) -> Vec<String> {
        let (dir, count, mapping) = (&self.dir, self.pictures, self.mapping);
        let pictures = if count == 1 { "picture" } else { "pictures" };
        let mut lines = vec![format!("{dir}: {count} {pictures}; {mapping}")];
        let letters: &[&str] = if self.comparison.is_some() { &["A  ", "B  "] } else { &[""] };
        for (contender, letter) in self.contenders.iter().zip(letters) {
            contender.lines(letter, self.classes, &mut lines);
        }
        if let Some(comparison) = &self.comparison {
            comparison.lines(&mut lines);
        }
        lines.push(self.speed.line());
        lines
    }
}

impl<'a> Contender<'a> {
    /// `labels` are those of the first contender: the second one's classes are the same, whatever it
    /// calls them.
    pub fn new(
        source: String,
        session: &'a Session,
        labels: Option<&[String]>,
        tally: &Tally,
        images_per_s: f64,
    ) -> Self {
        let label = |class: usize| {
            labels.and_then(|labels| labels.get(class)).cloned().unwrap_or_else(|| format!("class {class}"))
        };
        let all = tally.all();
        let confusions = tally.confusions();
        let confused = confusions.iter().take(PAIRS).map(|Confusion { truth, predicted, count }| {
            // Labels come from files: no control characters to the terminal.
            let [truth, predicted] = [truth, predicted].map(|class| shown(&label(*class)));
            format!("{count:6}  {truth} taken for {predicted}")
        });
        let confused = confused.collect();
        let seen = tally.classes().iter().enumerate().filter(|(_, count)| count.total > 0);
        let per_class = seen.map(|(class, count)| Class {
            class,
            label: label(class),
            total: count.total,
            top1: count.top1,
            top5: count.top5,
        });
        let small = tally.classes().len() <= MATRIX;
        let model = session.model();
        Contender {
            source,
            source_sha256: &model.details().source_sha256,
            model: model.name(),
            form: model.details().form,
            precision: session.precision(),
            device: session.device(),
            batch: session.batch(),
            top1: Share::new(all.top1, all.total),
            top5: Share::new(all.top5, all.total),
            images_per_s,
            per_class: per_class.collect(),
            confusion_matrix: small.then(|| tally.matrix()),
            confusions: (!small).then_some(confusions),
            confused,
        }
    }

    fn lines(&self, letter: &str, classes: usize, lines: &mut Vec<String>) {
        let form = if self.form == Form::Train { "training form" } else { "fused" };
        lines.push(format!("{letter}{}: {}, {form}, {}", self.source, self.model, self.precision));
        lines.push(format!("  top-1  {}", self.top1.text()));
        // Among five classes or fewer, one of five answers is always right.
        if classes > 5 {
            lines.push(format!("  top-5  {}", self.top5.text()));
        }
        if !self.confused.is_empty() {
            lines.push("  most confused:".to_owned());
            lines.extend(self.confused.iter().map(|pair| format!("  {pair}")));
        }
    }
}

impl Share {
    fn new(count: u64, total: u64) -> Self {
        let rate = count as f64 / total.max(1) as f64;
        Share { count, total, rate, interval: statistics::proportion(count, total) }
    }

    fn text(&self) -> String {
        let [low, high] = self.interval.map(|end| 100.0 * end);
        let (rate, count, total) = (100.0 * self.rate, self.count, self.total);
        format!("{rate:6.2} %  ({count} of {total}; 95 % interval {low:.2} to {high:.2} %)")
    }
}

impl Comparison {
    fn lines(&self, lines: &mut Vec<String>) {
        lines.push("B against A".to_owned());
        let Agreement { samples, same_top1, max_abs, largest } = self.agreement;
        let same = 100.0 * self.agreement.rate();
        lines.push(format!("  same top-1  {same:6.2} %  ({same_top1} of {samples})"));
        let [apart, low, high] = [self.top1_difference, self.interval[0], self.interval[1]].map(|v| 100.0 * v);
        let Paired { first_only, second_only, .. } = self.right;
        lines.push(format!(
            "  top-1       {apart:+6.2} points  (95 % interval {low:+.2} to {high:+.2}; right are only B on \
             {second_only}, only A on {first_only})"
        ));
        let apart = if max_abs < 0.01 { format!("{max_abs:.1e}") } else { format!("{max_abs:.3}") };
        lines.push(format!("  logits      {apart} apart at most, the largest is {largest:.3}"));
    }
}

impl Rates {
    fn new(speed: &Speed) -> Self {
        Rates {
            wall_s: speed.wall,
            images_per_s: speed.rate(),
            decode_images_per_s: speed.decode_rate(),
            network_images_per_s: speed.network_rate(),
            decode_threads: speed.threads,
            limit: speed.limit(),
        }
    }

    fn line(&self) -> String {
        let Rates { wall_s, images_per_s, decode_images_per_s, network_images_per_s, .. } = self;
        let limit = match self.limit {
            Limit::Decoding => "decoding",
            Limit::Network => "the network",
        };
        format!(
            "{images_per_s:.1} images/s in {wall_s:.2} s: decoding {decode_images_per_s:.1}, network \
             {network_images_per_s:.1} images/s; the limit was {limit}"
        )
    }
}
