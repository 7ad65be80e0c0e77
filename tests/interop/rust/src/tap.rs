//! The Test Anything Protocol, and what scenarios wait and complain with.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

pub type Outcome<T> = Result<T, String>;
/// What a scenario returns is a note for the report, or "".
pub type Run = fn() -> Pin<Box<dyn Future<Output = Outcome<String>>>>;
pub type Scenario = (&'static str, Run);

const AT_A_TIME: usize = 6; // they mostly wait
const LIMIT: Duration = Duration::from_secs(180);

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

#[derive(Default)]
struct Report {
    number: usize,
    failed: usize,
}

impl Report {
    fn add(&mut self, name: &str, outcome: Outcome<String>) {
        self.number += 1;
        match outcome {
            Ok(note) => {
                println!("ok {} - {name}", self.number);
                if !note.is_empty() {
                    println!("# {note}");
                }
            }
            Err(failure) => {
                self.failed += 1;
                let text = failure.replace('\n', "\n  ");
                println!("not ok {} - {name}\n  ---\n  {text}\n  ...", self.number);
            }
        }
    }
}

async fn within_limit(run: Run) -> Outcome<String> {
    let ended = tokio::time::timeout(LIMIT, run()).await;
    ended.unwrap_or_else(|_| Err(format!("it did not end within {LIMIT:?}")))
}

/// Runs those whose name matches $RAFTMQ_ONLY: several of `together` at a time, then `alone` one by one,
/// `before` each of these. True if none failed.
pub async fn run_all(together: &[Scenario], alone: &[Scenario], before: fn() -> Outcome<()>) -> bool {
    let only = regex::Regex::new(&std::env::var("RAFTMQ_ONLY").unwrap_or_default());
    let only = only.expect("$RAFTMQ_ONLY is no regular expression");
    let chosen = |all: &[Scenario]| -> Vec<Scenario> {
        all.iter().filter(|(name, _)| only.is_match(name)).copied().collect()
    };
    let (together, alone) = (chosen(together), chosen(alone));
    println!("TAP version 13\n1..{}", together.len() + alone.len());
    let mut report = Report::default();

    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let local = LocalSet::new();
    let mut running = JoinSet::new();
    for (name, run) in together {
        let places = places.clone();
        let scenario = async move {
            let _place = places.acquire().await.expect("it is never closed");
            (name, within_limit(run).await)
        };
        running.spawn_local_on(scenario, &local);
    }
    local
        .run_until(async {
            while let Some(ended) = running.join_next().await {
                match ended {
                    Ok((name, outcome)) => report.add(name, outcome),
                    Err(panic) => report.add("a scenario that panicked", Err(panic.to_string())),
                }
            }
        })
        .await;
    for (name, run) in alone {
        let outcome = match before() {
            Ok(()) => within_limit(run).await,
            Err(failure) => Err(failure),
        };
        report.add(name, outcome);
    }
    report.failed == 0
}
