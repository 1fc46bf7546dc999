//! The page as a whole: nothing hostile passes, nothing grows, nothing breaks without data.

use super::*;
use crate::analysis::fixture::{Memory, fidelity_of, manifest, run_of, slo, summary_of};
use crate::analysis::verdict::judge;
use crate::metrics::ErrorCount;
use crate::outcome::Outcome;
use crate::record::manifest::Judgement;
use crate::record::row::RequestRow;

fn page(run: &Memory) -> String {
    let summary = summary_of(run);
    let fidelity = fidelity_of(run);
    render(run, None, &[], &summary, &fidelity, &judge(&run.manifest, &summary, &fidelity)).unwrap().text
}

/// The page but for the one script that it has, which its policy knows.
fn without_script(page: &str) -> String {
    let (before, rest) = page.split_once("<script>").unwrap();
    let (script, after) = rest.split_once("</script>").unwrap();
    assert_eq!(script, SCRIPT);
    format!("{before}{after}")
}

/// Every element that is opened is closed, in order; what is not an element is an error.
fn assert_well_formed(page: &str) {
    let page = without_script(page);
    const VOID: [&str; 3] = ["meta", "!DOCTYPE", "br"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1).map(|t| t.split('>').next().unwrap()) {
        let name = tag.split([' ', '/']).find(|n| !n.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes something else");
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

#[test]
fn a_page_is_whole_small_and_needs_nothing_else() {
    let page = page(&run_of(400, 1));
    assert_well_formed(&page);
    assert!(page.len() < 300_000, "{} bytes", page.len());
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 14);
    assert_eq!(
        page.matches(">no data<").count(),
        4,
        "no prompt was counted (twice), no answer planned, and no events are in memory"
    );
    for heading in ["Time to first token, tail", "Answer lengths, planned and served", "Failures by outcome over time"]
    {
        assert!(page.contains(&format!("<h3>{heading}</h3>")), "{heading}");
    }
    let policy = policy::policy(STYLE, SCRIPT);
    assert!(page.contains(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")));
    for outside in ["http://", "https://", " style=", " onerror=", "<link", "@import", "url(", "src=", "href="] {
        let allowed = usize::from(outside == "http://"); // The endpoint's address, as text.
        assert_eq!(page.matches(outside).count(), allowed, "{outside}");
    }
    for bad in ["NaN", "inf\"", "infinity"] {
        assert!(!page.contains(bad), "{bad}");
    }
}

#[test]
fn a_page_is_the_same_at_every_rendering() {
    let run = run_of(150, 2);
    assert!(page(&run) == page(&run));
}

#[test]
fn its_size_does_not_follow_the_number_of_requests() {
    let (some, many) = (page(&run_of(1_000, 3)).len(), page(&run_of(20_000, 3)).len());
    assert!(many < 300_000 && many < some * 5 / 4, "{some} and {many} bytes");
}

#[test]
fn nothing_hostile_reaches_the_page_unescaped() {
    let hostile = "</script><img src=x onerror=alert(1)>\"'&`\x1b[31m\r\n\u{202e}\u{2028}\u{2029}";
    let mut run = run_of(60, 4);
    let m = &mut run.manifest;
    for field in [&mut m.model, &mut m.url, &mut m.run_id, &mut m.endpoint_type, &mut m.loadline_version] {
        *field = hostile.into();
    }
    (m.host.kernel, m.host.cpu_model) = (hostile.into(), hostile.into());
    m.command = vec![hostile.into(); 3];
    m.config = serde_json::json!({ hostile: { hostile: [hostile] }, "text": hostile });
    m.slo = slo(&[(hostile, 5.0), ("time_to_first_token", 500.0)]);
    let mut summary = summary_of(&run);
    summary.errors =
        vec![ErrorCount { outcome: Outcome::ProtocolError, http_status: Some(200), message: hostile.into(), count: 3 }];
    let verdict = Verdict { judgement: Judgement::Suspect, reasons: vec![hostile.into()] };
    let page = render(&run, None, &[], &summary, &fidelity_of(&run), &verdict).unwrap().text;
    assert_well_formed(&page);
    let page = without_script(&page);
    assert!(!page.contains("<script") && !page.contains("</script") && !page.contains("<img"));
    assert!(page.chars().all(|c| c == '\n' || (!c.is_control() && !"\u{202e}\u{2028}\u{2029}".contains(c))));
    let escaped = "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;`\\u{1b}[31m\\r\\n\\u{202e}\\u{2028}\\u{2029}";
    assert!(page.matches(escaped).count() >= 10, "{} are shown, escaped", page.matches(escaped).count());
}

#[test]
fn long_texts_and_large_configurations_stay_bounded() {
    let mut run = run_of(60, 5);
    let long = "<".repeat(100_000);
    let m = &mut run.manifest;
    (m.model, m.url) = (long.clone(), long.clone());
    m.command = vec![long.clone(); 100];
    m.slo = slo(&vec![(long.as_str(), 1.0); 1_000]);
    m.config = serde_json::Value::Object((0..5_000).map(|i| (format!("{i}{long}"), long.clone().into())).collect());
    let mut summary = summary_of(&run);
    let error = ErrorCount { outcome: Outcome::Reset, http_status: None, message: long.clone(), count: 1 };
    summary.errors = vec![error; 500];
    let verdict = Verdict { judgement: Judgement::Suspect, reasons: vec![long; 100] };
    let size = render(&run, None, &[], &summary, &fidelity_of(&run), &verdict).unwrap().text.len();
    assert!(size < 450_000, "{size} bytes, of texts that are six times as long once escaped");
}

#[test]
fn a_run_without_answers_shows_boxes_instead_of_plots() {
    let rows = vec![RequestRow::scheduled(0, 0), RequestRow::scheduled(1, 1_000_000_000)];
    let page_ = page(&Memory::new(manifest(), rows));
    assert_well_formed(&page_);
    // Two requests were due: their rate (twice) and the (empty) flight are drawn; no latency and no send lag is.
    assert_eq!((page_.matches("<svg class=\"chart\"").count(), page_.matches(">no data<").count()), (3, 15));
    let nothing = page(&run_of(0, 1));
    assert_well_formed(&nothing);
    assert_eq!((nothing.matches("<svg class=\"chart\"").count(), nothing.matches(">no data<").count()), (0, 18));
    assert!(!nothing.contains("NaN") && !page_.contains("NaN"));
}

#[test]
fn the_sections_stand_in_reading_order() {
    let page = page(&run_of(80, 6));
    let places: Vec<usize> = [
        "Verdict: ",
        "class=\"tiles\"",
        ">Configuration<",
        ">Outcomes and errors<",
        ">Metrics<",
        ">Distributions<",
        ">Tails and lengths<",
        ">Limits and streams<",
        ">Over time<",
        ">Fidelity to the plan<",
        "<footer>",
    ]
    .iter()
    .map(|part| page.find(part).unwrap_or_else(|| panic!("{part} is missing")))
    .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn streams_are_drawn_and_bounded_whatever_their_length() {
    use crate::outcome::EventKind;
    use crate::record::reader::MemoryRows;
    use crate::record::row::TokenRow;
    let run = run_of(300, 9);
    // A token every 100 µs, each fifth read with two of them, for as long as the request lasts.
    let events = |row: &RequestRow| -> Vec<TokenRow> {
        let (Some(from), Some(to)) = (row.first_token_ns, row.last_token_ns) else { return vec![] };
        let n = ((to - from) / 100_000).clamp(1, 3_000);
        let event = |i: i64| TokenRow {
            request_id: row.request_id,
            seq: i as u32,
            t_ns: from + (to - from) * i / n,
            kernel_ns: None,
            read: (i - i64::from(i % 5 == 4)) as u32,
            kind: EventKind::Output,
            bytes: 9,
            tokens: None,
        };
        (0..=n).map(event).collect()
    };
    let (summary, fidelity) = (summary_of(&run), fidelity_of(&run));
    let rows = run.rows.iter().map(|row| (row.clone(), events(row))).collect();
    let rows = MemoryRows { manifest: run.manifest.clone(), rows };
    let page = render(&rows, None, &[], &summary, &fidelity, &judge(&run.manifest, &summary, &fidelity)).unwrap().text;
    assert_well_formed(&page);
    let figure = page.split_once("<figure data-raster=\"400\" data-lines=\"").unwrap().1;
    let (lines, drawn) = figure.split_once('"').unwrap();
    assert_eq!(lines.matches(';').count(), 200);
    let drawn = drawn.split_once("</figure>").unwrap().0;
    assert_eq!(drawn.matches("<title>request ").count(), 16);
    assert!(drawn.contains("class=\"line s1 thin\"") && drawn.contains("class=\"line s2 thick\""));
    assert!(page.len() < 400_000, "{} bytes", page.len());
}
