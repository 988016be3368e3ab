//! Prints how fast the byte bound, the local token count and a pace are: `cargo run --release -p almoner-policy
//! --example throughput`.
#![allow(clippy::print_stdout, clippy::float_arithmetic, clippy::cast_precision_loss, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant;

use almoner_policy::pace::{Asked, Order, Pace, PaceRule, Paces, Rates};
use almoner_policy::{Encoding, count_text, text_bytes_nfkc};
use almoner_units::{Labels, Timestamp};

const PASSES: usize = 7;

/// Letters of many scripts by chance, so that the script changes at nearly every one: what the tokenizer is slowest at.
fn hostile(bytes: usize) -> String {
    let letters: Vec<char> = ['a', 'а', 'α', 'ע', 'ع', 'अ', 'ก', '語', 'あ', '한', '1', '-', '𝐀', '🦀']
        .into_iter()
        .flat_map(|first| (0..10).filter_map(move |at| char::from_u32(u32::from(first) + at)))
        .collect();
    let mut text = String::new();
    let mut dice = 1_u64;
    while text.len() < bytes {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend(usize::try_from(dice >> 33).ok().map(|roll| letters[roll % letters.len()]));
    }
    text
}

fn repeated(text: &str, bytes: usize) -> String {
    text.repeat(bytes / text.len())
}

/// A line that `cargo xtask bench` reads: MB/s of `work` over the text, pass by pass. The first pass, before any cache
/// is warm, stands by itself.
fn report(what: &str, goal: &str, text: &str, mut work: impl FnMut(&str)) {
    let mut pass = || {
        let start = Instant::now();
        work(black_box(text));
        text.len() as f64 / start.elapsed().as_secs_f64() / 1e6
    };
    println!("{what}: first pass {:.1} MB/s of {} bytes", pass(), text.len());
    let passes: Vec<String> = (0..PASSES).map(|_| format!("{:.3}", pass())).collect();
    println!("bench: {what} | {goal} | {}", passes.join(" "));
}

fn main() {
    // Text that does not repeat, for a tokenizer that remembers pieces: name files, such as a book and a source tree.
    let files: Vec<(String, String)> = std::env::args()
        .skip(1)
        .filter_map(|path| std::fs::read_to_string(&path).ok().map(|text| (path, text)))
        .collect();
    let prose = include_str!("../../../docs/decisions/0004-price-book.md");
    let code = include_str!("../src/bound.rs");
    let megabytes = 8_000_000;
    let texts = [
        ("ASCII", repeated("the quick brown fox ", megabytes)),
        ("ASCII with accents", repeated("Ein schöner Tag für die Prüfung, naïve café. ", megabytes)),
        ("Russian", repeated("Съешь же ещё этих мягких французских булок. ", megabytes)),
        ("Chinese", repeated("敏捷的棕色狐狸跳过了懒狗。", megabytes)),
        ("Korean", repeated("다람쥐 헌 쳇바퀴에 타고파 ", megabytes)),
        ("mathematical letters", repeated("𝐀𝐁𝐂𝐃", megabytes)),
        ("emoji", repeated("🦀🚀 ok 👩‍💻 ", megabytes)),
        ("marks", repeated("a\u{0301}\u{0323}e\u{0308} ", megabytes)),
        ("U+FDFA", repeated("\u{fdfa}", megabytes)),
        ("mixed script", hostile(megabytes)),
    ];
    println!("byte bound (bytes after NFKC)");
    // The table is built at its first use, which belongs to no text.
    let start = Instant::now();
    black_box(text_bytes_nfkc("é"));
    println!("bench: byte bound, table at its first use | ms | {:.3}", start.elapsed().as_secs_f64() * 1e3);
    for (what, text) in &texts {
        let goal = if text.is_ascii() { "at least 1000 MB/s" } else { "at least 100 MB/s" };
        report(&format!("byte bound, {what}"), goal, text, |text| {
            black_box(text_bytes_nfkc(text));
        });
    }
    pace();
    println!("token count (o200k, slices of at most 4 KB)");
    let start = Instant::now();
    black_box(count_text(Encoding::O200kBase, "hello", &mut || true));
    println!("bench: token count, vocabulary at its first use | ms | {:.3}", start.elapsed().as_secs_f64() * 1e3);
    for (what, text) in [
        ("prose, repeated", repeated(prose, 1_000_000)),
        ("code, repeated", repeated(code, 1_000_000)),
        ("mixed script", hostile(300_000)),
        ("spaces", " ".repeat(300_000)),
        ("base64", repeated("aGVsbG8gd29ybGQhIFRoaXMgaXMgYmFzZTY0", 1_000_000)),
    ] {
        report(&format!("token count, {what}"), "at least 10 MB/s", &text, count);
    }
    for (path, text) in &files {
        report(&format!("token count, {path}"), "at least 10 MB/s", text, count);
    }
}

/// How long a call is looked at that goes at a pace.
fn pace() {
    println!("pace: {} bytes each", std::mem::size_of::<Pace>());
    let rates = Rates { rpm: Some(1_000_000_000), tpm: Some(1_000_000_000_000) };
    let rule = PaceRule { name: "all".to_owned(), filter: Vec::new(), per: Vec::new(), rates, adaptive: false };
    let mut paces: Paces<()> = Paces::new(1_000);
    let order = |paces: &mut Paces<()>, now| Order {
        paces: paces.touched(std::iter::once(&rule), &Labels::new(), now),
        tokens: 1_000,
        ..Order::default()
    };
    let calls = 100_000_u64;
    let mut pass = || {
        let start = Instant::now();
        for at in 0..calls {
            let now = Timestamp::from_ms(at);
            let order = order(&mut paces, now);
            if let (Asked::Goes(grant), _) = paces.ask(order, (), now, now) {
                paces.sent(&grant, now);
                paces.settle(&grant, 500, now);
            }
        }
        start.elapsed().as_secs_f64() * 1e6 / calls as f64
    };
    let passes: Vec<String> = (0..PASSES).map(|_| format!("{:.3}", pass())).collect();
    println!("bench: pace, a call | less than 1000 us | {}", passes.join(" "));
}

fn count(text: &str) {
    black_box(count_text(Encoding::O200kBase, text, &mut || true));
}
