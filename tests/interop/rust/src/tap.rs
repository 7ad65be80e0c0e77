//! The Test Anything Protocol, and what scenarios wait and complain with.
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

pub type Outcome<T> = Result<T, String>;
/// What a scenario returns is a note for the report, or "".
pub type Run = fn() -> Pin<Box<dyn Future<Output = Outcome<String>>>>;

#[macro_export]
macro_rules! check {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}

pub async fn wait_until(limit: Duration, what: &str, mut done: impl FnMut() -> bool) -> Outcome<()> {
    let end = Instant::now() + limit;
    while !done() {
        check!(Instant::now() < end, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Runs those whose name matches $RAFTMQ_ONLY; `before` each. True if none failed.
pub async fn run_all(scenarios: &[(&str, Run)], before: fn() -> Outcome<()>) -> bool {
    let only = regex::Regex::new(&std::env::var("RAFTMQ_ONLY").unwrap_or_default());
    let only = only.expect("$RAFTMQ_ONLY is no regular expression");
    let chosen: Vec<_> = scenarios.iter().filter(|(name, _)| only.is_match(name)).collect();
    println!("TAP version 13\n1..{}", chosen.len());
    let mut good = true;
    for (i, (name, run)) in chosen.into_iter().enumerate() {
        let outcome = match before() {
            Ok(()) => match tokio::time::timeout(Duration::from_secs(180), run()).await {
                Ok(outcome) => outcome,
                Err(_) => Err("it did not end within 180 s".to_string()),
            },
            failed => failed.map(|()| String::new()),
        };
        match outcome {
            Ok(note) => {
                println!("ok {} - {name}", i + 1);
                if !note.is_empty() {
                    println!("# {note}");
                }
            }
            Err(failure) => {
                good = false;
                let text = failure.replace('\n', "\n  ");
                println!("not ok {} - {name}\n  ---\n  {text}\n  ...", i + 1);
            }
        }
    }
    good
}
