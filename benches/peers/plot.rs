//! Bars as SVG, readable on light and dark pages.

use std::fmt::Write as _;

use crate::contest::Score;
use crate::report::thousands;

/// Width of the names, of the longest bar, and of what is written after it.
const WIDTHS: (f64, f64, f64) = (230.0, 400.0, 150.0);
/// Height of a bar and of the space to the next.
const HEIGHTS: (f64, f64) = (18.0, 8.0);

/// A bar for each, the longest as long as there is room.
pub(crate) fn bars(title: &str, scores: &[Score]) -> String {
    let (left, room, right) = WIDTHS;
    let step = HEIGHTS.0 + HEIGHTS.1;
    let most = scores.iter().map(|score| score.rate).fold(1.0, f64::max);
    let width = left + room + right;
    let mut svg = String::new();
    let mut top = 36.0;
    for score in scores {
        let length = score.rate / most * room;
        let color = if score.is_warrener { "#c2571a" } else { "#7a8794" };
        let name = score.name.replace('&', "&amp;").replace('<', "&lt;");
        let middle = top + HEIGHTS.0 * 0.75;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{left:.0}\" y=\"{top:.0}\" width=\"{length:.0}\" height=\"{:.0}\" fill=\"{color}\"/>\
             <text x=\"{:.0}\" y=\"{middle:.0}\">{} ({:.1} µs CPU)</text>",
            left - 8.0,
            HEIGHTS.0,
            left + length + 8.0,
            thousands(score.rate),
            score.cpu,
        );
        top += step;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{top:.0}\" \
         viewBox=\"0 0 {width:.0} {top:.0}\">\n\
         <style>text {{ font: 12px sans-serif; fill: #6b7280; }} .title {{ font-size: 14px; }}</style>\n\
         <text class=\"title\" x=\"{left:.0}\" y=\"20\">{title}</text>\n{svg}</svg>\n"
    )
}
