//! Rows of ratios: as text, JSON, Markdown and a plot.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Value, json};

const COLOURS: [&str; 3] = ["#1b6ca8", "#c9622b", "#6a9a3c"];
const PROMISED: &str = "#e0a0a0";

/// What is measured, and how it is told.
pub struct Bench {
    /// Of the files in `docs`, without their ends.
    pub name: &'static str,
    pub command: &'static str,
    /// The first contender.
    pub first: &'static str,
    pub title: &'static str,
    /// What the table says.
    pub explained: &'static str,
    /// Transport and mechanism of each row.
    pub paths: &'static [[&'static str; 2]],
    pub sizes: &'static [usize],
    /// Ratios of ours to each other; else of each other to the first. Above 1: faster.
    pub of_ours: bool,
    /// Above the plot, before the names.
    pub heading: &'static str,
    /// Where the plot may begin.
    pub lowest: f64,
    /// Ratios of throughput and of latency that are promised, for the plot.
    pub lines: [f64; 2],
    pub promise: &'static str,
    /// What a reader should know of the others.
    pub of_others: &'static str,
    /// Whether ours keeps the promise beside this contender of the row.
    pub keeps: fn(&Row, &(&'static str, f64)) -> bool,
}

/// One line of the table.
pub struct Row {
    /// Kind, transport, mechanism.
    pub job: [String; 3],
    pub size: usize,
    /// Messages or round trips a sample.
    pub count: u64,
    /// Messages a second, or microseconds a round trip, of each contender.
    pub figures: Vec<f64>,
    /// CPU time of the first contender over ours.
    pub cpu: f64,
    /// By name of the contender; not a number where it lacks the transport or mechanism.
    pub ratios: Vec<(&'static str, f64)>,
}

impl Row {
    fn name(&self) -> String {
        let size = match self.size {
            size if size >= 1 << 20 => format!("{} MiB", size >> 20),
            size if size >= 1 << 10 => format!("{} KiB", size >> 10),
            size => format!("{size} B"),
        };
        format!("{}, {size}", self.job.join(" "))
    }

    fn cells(&self) -> Vec<String> {
        let digits = if self.job[0] == "latency" { 1 } else { 0 };
        let mut cells: Vec<_> = self.figures[..2]
            .iter()
            .map(|figure| format!("{figure:.digits$}"))
            .collect();
        cells.push(format!("{:.3}", self.cpu));
        cells.extend(self.ratios.iter().map(|(_, ratio)| match ratio.is_nan() {
            true => "-".into(),
            false => format!("{ratio:.3}"),
        }));
        cells
    }

    fn head(&self, bench: &Bench) -> Vec<String> {
        let mut head = [bench.first, "ours", "CPU"].map(String::from).to_vec();
        head.extend(self.ratios.iter().map(|(name, _)| match bench.of_ours {
            true => format!("/ {name}"),
            false => format!("{name} / {}", bench.first),
        }));
        head
    }

    /// For the terminal, with a heading before the first.
    pub fn line(&self, bench: &Bench, first: bool) -> String {
        let mut text = String::new();
        let head = self.head(bench);
        let mut put = |name: &str, cells: &[String]| {
            write!(text, "{name:<36}").unwrap();
            for (cell, head) in cells.iter().zip(&head) {
                write!(text, "{cell:>width$}", width = head.len().max(10) + 2).unwrap();
            }
        };
        if first {
            put("messages/s, or us a round trip", &head);
            text.push('\n');
            return text + &self.line(bench, false);
        }
        put(&self.name(), &self.cells());
        text
    }

    pub fn json(&self) -> Value {
        let ratios: serde_json::Map<_, _> = self
            .ratios
            .iter()
            .map(|(name, ratio)| ((*name).to_owned(), json!(ratio)))
            .collect();
        json!({
            "kind": self.job[0], "transport": self.job[1], "mechanism": self.job[2], "size": self.size,
            "count": self.count, "figures": self.figures, "cpu": self.cpu, "ratios": ratios,
        })
    }
}

impl Bench {
    /// How many rows keep what is promised.
    pub fn verdict(&self, rows: &[Row]) -> String {
        let missed = |row: &Row| {
            let ratios = row.ratios.iter().filter(|(_, ratio)| !ratio.is_nan());
            let missed: Vec<_> = ratios
                .filter(|ratio| !(self.keeps)(row, ratio))
                .map(|(name, _)| if *name == "ours" { self.first } else { *name })
                .collect();
            (!missed.is_empty()).then(|| format!("{} ({})", row.name(), missed.join(", ")))
        };
        let missed: Vec<_> = rows.iter().filter_map(missed).collect();
        let (kept, all) = (rows.len() - missed.len(), rows.len());
        let mut text = format!("{kept} of {all} rows: {}.", self.promise);
        if !missed.is_empty() {
            write!(text, " Not: {}.", missed.join("; ")).unwrap();
        }
        text
    }
}

/// Makes the table and the plot in `folder`.
pub fn write(bench: &Bench, rows: &[Row], arguments: &str, about: &str, folder: &Path) {
    let Some(first) = rows.first() else {
        return;
    };
    let (name, head) = (bench.name, first.head(bench));
    let mut text = format!(
        "# {}\n\nMade by `{} -- {arguments}`: {about} {}; figures are messages a second, or microseconds a round trip.\n\n\
         ![ratios]({name}.svg)\n\n{}\n\n{}\n\n| | {} |\n|---|{}\n",
        bench.title,
        bench.command,
        bench.explained,
        bench.verdict(rows),
        bench.of_others,
        head.join(" | "),
        "---:|".repeat(head.len()),
    );
    for row in rows {
        writeln!(text, "| {} | {} |", row.name(), row.cells().join(" | ")).unwrap();
    }
    std::fs::write(folder.join(format!("{name}.md")), text).unwrap();
    std::fs::write(folder.join(format!("{name}.svg")), svg(bench, rows)).unwrap();
}

/// A line a row, with a dot for each ratio, or where that is beyond the edge an arrow and the number.
fn svg(bench: &Bench, rows: &[Row]) -> String {
    let all = || {
        let ratios = rows.iter().flat_map(|row| &row.ratios);
        ratios.map(|(_, ratio)| *ratio)
    };
    // In tenths around 1.
    let low = (all().fold(0.9, f64::min) * 10.0).floor() / 10.0;
    let low = low.max(bench.lowest);
    let high = (all().fold(1.1, f64::max) * 10.0).ceil().min(20.0) / 10.0;
    let (left, width, top, step) = (210.0, 560.0, 50.0, 14.0);
    let x = |ratio: f64| left + (ratio.clamp(low, high) - low) / (high - low) * width;
    let bottom = top + step * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"4\" y=\"16\" font-size=\"12\">{}</text>\n",
        left + width + 40.0,
        bottom + 20.0,
        bench.heading
    );
    for (at, (name, _)) in rows.iter().take(1).flat_map(|row| &row.ratios).enumerate() {
        let (dot, colour) = (left + 4.0 + 80.0 * at as f64, COLOURS[at % COLOURS.len()]);
        writeln!(
            svg,
            "<circle cx=\"{dot}\" cy=\"12\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"16\" font-size=\"12\">{name}</text>",
            dot + 8.0
        )
        .unwrap();
    }
    writeln!(
        svg,
        "<path d=\"M{} 12h16\" stroke=\"{PROMISED}\" stroke-width=\"2\"/><text x=\"{}\" y=\"16\" font-size=\"12\">promised</text>",
        left + width - 90.0,
        left + width - 70.0
    )
    .unwrap();
    for tenth in (low * 10.0).round() as u32..=(high * 10.0).round() as u32 {
        let (ratio, y) = (f64::from(tenth) / 10.0, top - 6.0);
        let (x, colour) = (x(ratio), if tenth == 10 { "#888" } else { "#ddd" });
        writeln!(
            svg,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"{colour}\"/><text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{ratio}</text>"
        )
        .unwrap();
    }
    for (at, row) in rows.iter().enumerate() {
        let (above, y) = (top + step * at as f64, top + step * (at as f64 + 0.5));
        let promised = x(bench.lines[usize::from(row.job[0] == "latency")]);
        writeln!(
            svg,
            "<text x=\"4\" y=\"{:.1}\">{}</text><path d=\"M{promised:.1} {above}v{step}\" stroke=\"{PROMISED}\" stroke-width=\"2\"/>",
            y + 3.5,
            row.name()
        )
        .unwrap();
        if at > 0 && rows[at - 1].job != row.job {
            let colour = match rows[at - 1].job[0] == row.job[0] {
                true => "#eee",
                false => "#888",
            };
            writeln!(
                svg,
                "<path d=\"M4 {above}H{}\" stroke=\"{colour}\"/>",
                left + width
            )
            .unwrap();
        }
        // The first last, on top of the others.
        for (at, (name, ratio)) in row.ratios.iter().enumerate().rev() {
            if !ratio.is_nan() {
                let colour = COLOURS[at % COLOURS.len()];
                let title = format!("<title>{name} {ratio:.3}</title>");
                let mark = mark(*ratio, low..=high, x(*ratio), y);
                writeln!(svg, "<g fill=\"{colour}\">{title}{mark}</g>").unwrap();
            }
        }
    }
    svg + "</svg>\n"
}

fn mark(ratio: f64, within: RangeInclusive<f64>, x: f64, y: f64) -> String {
    if within.contains(&ratio) {
        return format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
    }
    let (points, beside, anchor) = match ratio > *within.end() {
        true => ("v8l6-4z", x + 8.0, "start"),
        false => ("v8l-6-4z", x - 8.0, "end"),
    };
    format!(
        "<path d=\"M{x:.1} {:.1}{points}\"/><text x=\"{beside:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{ratio:.1}</text>",
        y - 4.0,
        y + 3.5
    )
}
