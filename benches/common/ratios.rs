//! Rows of ratios: as text, JSON, Markdown and a plot.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

/// The least that is promised beside the loop in C.
const LEAST: f64 = 0.98;
const COLOURS: [&str; 3] = ["#1b6ca8", "#c9622b", "#6a9a3c"];

/// One line of the table.
pub struct Row {
    /// Kind, transport, mechanism.
    pub job: [String; 3],
    pub size: usize,
    /// Messages or round trips a sample.
    pub count: u64,
    /// Messages a second, or microseconds a round trip: C, ours, the others.
    pub figures: Vec<f64>,
    /// CPU time of C over ours.
    pub cpu: f64,
    /// How much faster ours is than each other; not a number where that one lacks the mechanism.
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

    fn head(&self) -> Vec<String> {
        let mut head = ["C", "ours", "CPU"].map(String::from).to_vec();
        head.extend(self.ratios.iter().map(|(name, _)| format!("/ {name}")));
        head
    }

    /// For the terminal, with a heading before the first.
    pub fn line(&self, first: bool) -> String {
        let mut text = String::new();
        let mut put = |name: &str, cells: Vec<String>| {
            write!(text, "{name:<32}").unwrap();
            for cell in cells {
                write!(text, "{cell:>12}").unwrap();
            }
        };
        if first {
            put("messages/s, or us a round trip", self.head());
            text.push('\n');
            return text + &self.line(false);
        }
        put(&self.name(), self.cells());
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

    /// Whether ours misses what is promised of this row.
    fn misses(&self) -> bool {
        self.ratios
            .iter()
            .any(|(name, ratio)| *ratio < if *name == "C" { LEAST } else { 1.0 })
    }
}

/// How many rows keep what is promised.
pub fn verdict(rows: &[Row]) -> String {
    let missed: Vec<_> = rows
        .iter()
        .filter(|row| row.misses())
        .map(Row::name)
        .collect();
    let kept = rows.len() - missed.len();
    let mut text = format!(
        "{kept} of {} rows: at least {LEAST} of C, and 1 of the others.",
        rows.len()
    );
    if !missed.is_empty() {
        write!(text, " Not: {}.", missed.join("; ")).unwrap();
    }
    text
}

/// Makes `data.md` and `data.svg` in `folder`.
pub fn write(rows: &[Row], arguments: &str, about: &str, folder: &Path) {
    let Some(first) = rows.first() else {
        return;
    };
    let mut text = format!(
        "# The data path, beside C\n\nMade by `cargo bench --bench data -- {arguments}`: {about} Ratios are medians round by round, and \
         above 1 where ours is faster, or uses less CPU time; figures are messages a second, or microseconds a round trip.\n\n\
         ![ratios](data.svg)\n\n{}\n\n| | {} |\n|---|{}\n",
        verdict(rows),
        first.head().join(" | "),
        "---:|".repeat(first.head().len()),
    );
    for row in rows {
        writeln!(text, "| {} | {} |", row.name(), row.cells().join(" | ")).unwrap();
    }
    std::fs::write(folder.join("data.md"), text).unwrap();
    std::fs::write(folder.join("data.svg"), svg(rows)).unwrap();
}

/// A line a row, with a dot for each ratio.
fn svg(rows: &[Row]) -> String {
    let all = || {
        rows.iter()
            .flat_map(|row| &row.ratios)
            .map(|(_, ratio)| *ratio)
    };
    // In tenths around 1; what is further out sits on the edge.
    let low = (all().fold(0.9, f64::min) * 10.0).floor().max(5.0) / 10.0;
    let high = (all().fold(1.1, f64::max) * 10.0).ceil().min(20.0) / 10.0;
    let (left, width, top, step) = (210.0, 560.0, 50.0, 14.0);
    let x = |ratio: f64| left + (ratio.clamp(low, high) - low) / (high - low) * width;
    let bottom = top + step * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"16\" font-size=\"12\">How much faster ours is than</text>\n",
        left + width + 30.0,
        bottom + 20.0
    );
    for (at, (name, _)) in rows.iter().take(1).flat_map(|row| &row.ratios).enumerate() {
        let (dot, colour) = (left + 190.0 + 80.0 * at as f64, COLOURS[at % COLOURS.len()]);
        writeln!(
            svg,
            "<circle cx=\"{dot}\" cy=\"12\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"16\" font-size=\"12\">{name}</text>",
            dot + 8.0
        )
        .unwrap();
    }
    let tenths = (low * 10.0).round() as u32..=(high * 10.0).round() as u32;
    let grid = tenths.map(|tenth| (f64::from(tenth) / 10.0, "#ddd"));
    for (ratio, colour) in grid.chain([(LEAST, "#e0a0a0"), (1.0, "#888")]) {
        let x = x(ratio);
        writeln!(
            svg,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"{colour}\"/>"
        )
        .unwrap();
        if colour != "#e0a0a0" {
            let y = top - 6.0;
            writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{ratio}</text>"
            )
            .unwrap();
        }
    }
    for (at, row) in rows.iter().enumerate() {
        let y = top + step * (at as f64 + 0.5);
        writeln!(
            svg,
            "<text x=\"4\" y=\"{:.1}\">{}</text>",
            y + 3.5,
            row.name()
        )
        .unwrap();
        // Ours beside C last, on top of the others.
        for (at, (name, ratio)) in row.ratios.iter().enumerate().rev() {
            if ratio.is_nan() {
                continue;
            }
            writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{}\"><title>{name} {ratio:.3}</title></circle>",
                x(*ratio),
                COLOURS[at % COLOURS.len()]
            )
            .unwrap();
        }
    }
    svg + "</svg>\n"
}
