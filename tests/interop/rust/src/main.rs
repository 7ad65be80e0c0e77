//! The official RocketMQ 5 client for Rust against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP.
//! It has producers and simple consumers, no push consumer, no change of invisibility, no recall.
mod clients;
mod cluster;
mod tap;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clients::*;
use cluster::{new_topic, unique};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::MessageBuilder;
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use tap::{Outcome, Run};

macro_rules! scenarios {
    ($($name:literal: $run:ident,)*) => { &[$(($name, || Box::pin($run()))),*] };
}

const SCENARIOS: &[(&str, Run)] = scenarios! {
    "a producer and a simple consumer start and stop": start_and_stop,
    "a message arrives with all that was sent with it": all_fields,
    "a batch arrives whole and in order": batch,
    "an acked message never comes again and an unacked one does": ack_and_not,
    "a consumer that goes away leaves its messages to another": taken_over,
    "messages of one group arrive in order": fifo,
    "only messages with a wanted tag arrive": tags,
    "only messages that an SQL expression wants arrive": sql,
    "a delayed message comes when it is due": delayed,
    "a transaction is seen after its commit and never after its rollback": transactions,
    "a forgotten transaction is checked back and committed": orphan,
    "an unknown topic and the wrong type are refused": refused,
    "a body above 4 MiB is refused and one of 1 MiB is taken": sizes,
    "the leader is killed while a client sends": kill_while_sending,
    "the leader is killed while a client consumes": kill_while_consuming,
    "every member is restarted while a client sends": rolling,
};

#[tokio::main]
async fn main() {
    let good = tap::run_all(SCENARIOS, cluster::heal).await;
    // Clients that a failed scenario left behind do not keep the process.
    std::process::exit(if good { 0 } else { 1 });
}

const SECOND: Duration = Duration::from_secs(1);

async fn start_and_stop() -> Outcome<String> {
    let topic = new_topic("start", "NORMAL")?;
    producer(&topic).await?.shutdown().await.map_err(text)?;
    consumer(&topic, &unique("group")).await?.shutdown().await.map_err(text)?;
    Ok(String::new())
}

async fn all_fields() -> Outcome<String> {
    let topic = new_topic("fields", "NORMAL")?;
    let from = producer(&topic).await?;
    let sent = MessageBuilder::builder()
        .set_topic(topic.as_str())
        .set_body("päyload 🚀".as_bytes().to_vec())
        .set_tag("blue")
        .set_keys(vec!["key-1", "key-2"])
        .set_properties(HashMap::from([("colour", "blue")]))
        .build()
        .map_err(text)?;
    let receipt = from.send(sent).await.map_err(text)?;
    let to = consumer(&topic, &unique("group")).await?;
    let got = Receiving::all(&topic).until(&to, 20 * SECOND, 1).await;
    check!(got.messages.len() == 1, "{} messages arrived", got.messages.len());
    let one = &got.messages[0];
    check!(one.message_id() == receipt.message_id(), "message id {}", one.message_id());
    check!(body_of(one) == "päyload 🚀", "body {}", body_of(one));
    check!(one.topic() == topic, "topic {}", one.topic());
    check!(one.tag() == Some("blue"), "tag {:?}", one.tag());
    check!(one.keys() == ["key-1", "key-2"], "keys {:?}", one.keys());
    let colour = one.properties().get("colour").map(String::as_str);
    check!(colour == Some("blue"), "properties {:?}", one.properties());
    check!(one.delivery_attempt() == 1, "attempt {}", one.delivery_attempt());
    Ok(String::new())
}

async fn batch() -> Outcome<String> {
    let topic = new_topic("batch", "NORMAL")?;
    let from = producer(&topic).await?;
    let bodies: Vec<String> = (0..10).map(|i| format!("b-{i}")).collect();
    let messages = bodies.iter().map(|body| message(&topic, body)).collect();
    let receipts = from.batch_send(messages).await.map_err(text)?;
    check!(receipts.len() == 10, "{} receipts", receipts.len());
    let to = consumer(&topic, &unique("group")).await?;
    let got = Receiving::all(&topic).until(&to, 30 * SECOND, 10).await;
    let arrived: Vec<String> = got.messages.iter().map(body_of).collect();
    check!(arrived == bodies, "what arrived: {arrived:?}");
    Ok(String::new())
}

async fn ack_and_not() -> Outcome<String> {
    let topic = new_topic("ack", "NORMAL")?;
    send_many(&producer(&topic).await?, &topic, 20).await?;
    let to = consumer(&topic, &unique("group")).await?;
    let mut receiving = Receiving::all(&topic);
    receiving.ack = false;
    let first = receiving.until(&to, 20 * SECOND, 20).await;
    check!(first.different() == 20, "{} of 20 arrived", first.different());
    let kept = body_of(&first.messages[7]);
    for one in first.messages.iter().filter(|one| body_of(one) != kept) {
        to.ack(one).await.map_err(text)?;
    }
    let all = Receiving::all(&topic);
    let again = all.until(&to, 25 * SECOND, 1).await;
    check!(again.attempts.get(&kept) == Some(&vec![2]), "what came again: {:?}", again.attempts);
    let later = all.until(&to, 6 * SECOND, 1).await;
    check!(later.different() == 0, "what came later: {:?}", later.attempts);
    Ok(String::new())
}

async fn taken_over() -> Outcome<String> {
    let topic = new_topic("takeover", "NORMAL")?;
    send_many(&producer(&topic).await?, &topic, 10).await?;
    let group = unique("group");
    let gone = consumer(&topic, &group).await?;
    let mut receiving = Receiving::all(&topic);
    receiving.ack = false;
    let taken = receiving.until(&gone, 20 * SECOND, 10).await;
    check!(taken.different() == 10, "{} of 10 arrived", taken.different());
    drop(gone);
    let other = consumer(&topic, &group).await?;
    let got = Receiving::all(&topic).until(&other, 40 * SECOND, 10).await;
    check!(got.different() == 10, "{} of 10 were left to the other", got.different());
    check!(got.attempts.values().all(|a| a == &vec![2]), "attempts {:?}", got.attempts);
    Ok(String::new())
}

async fn fifo() -> Outcome<String> {
    let topic = new_topic("fifo", "FIFO")?;
    let from = producer(&topic).await?;
    for i in 0..30 {
        for group in ["a", "b"] {
            let sent = MessageBuilder::fifo_message_builder(
                topic.as_str(),
                format!("{group}-{i:02}").into_bytes(),
                group,
            );
            from.send(sent.build().map_err(text)?).await.map_err(text)?;
        }
    }
    let to = consumer(&topic, &unique("group")).await?;
    let got = Receiving::all(&topic).until(&to, 60 * SECOND, 60).await;
    for group in ["a", "b"] {
        let arrived: Vec<String> =
            got.messages.iter().map(body_of).filter(|body| body.starts_with(group)).collect();
        let sent: Vec<String> = (0..30).map(|i| format!("{group}-{i:02}")).collect();
        check!(arrived == sent, "group {group} arrived as {arrived:?}");
    }
    Ok(String::new())
}

async fn tags() -> Outcome<String> {
    let topic = new_topic("tags", "NORMAL")?;
    let from = producer(&topic).await?;
    for i in 0..20 {
        let sent = MessageBuilder::builder()
            .set_topic(topic.as_str())
            .set_body(format!("m-{i}").into_bytes())
            .set_tag(["red", "blue"][i % 2]);
        from.send(sent.build().map_err(text)?).await.map_err(text)?;
    }
    let to = consumer(&topic, &unique("group")).await?;
    let mut blue = Receiving::all(&topic);
    blue.filter = FilterExpression::new(FilterType::Tag, "blue");
    let got = blue.until(&to, 25 * SECOND, 10).await;
    check!(got.different() == 10, "{} of 10 arrived", got.different());
    check!(got.messages.iter().all(|one| one.tag() == Some("blue")), "{:?}", got.attempts);
    Ok(String::new())
}

async fn sql() -> Outcome<String> {
    let topic = new_topic("sql", "NORMAL")?;
    let from = producer(&topic).await?;
    for i in 0..20 {
        let sent = MessageBuilder::builder()
            .set_topic(topic.as_str())
            .set_body(format!("m-{i:02}").into_bytes())
            .set_properties(HashMap::from([("price".to_string(), i.to_string())]));
        from.send(sent.build().map_err(text)?).await.map_err(text)?;
    }
    let to = consumer(&topic, &unique("group")).await?;
    let mut dear = Receiving::all(&topic);
    dear.filter = FilterExpression::new(FilterType::Sql, "price BETWEEN 15 AND 17 OR price = 3");
    let got = dear.until(&to, 25 * SECOND, 4).await;
    let arrived: Vec<&String> = got.attempts.keys().collect();
    check!(arrived == ["m-03", "m-15", "m-16", "m-17"], "what arrived: {arrived:?}");
    Ok(String::new())
}

async fn delayed() -> Outcome<String> {
    let topic = new_topic("delay", "DELAY")?;
    let from = producer(&topic).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(text)?;
    let due = now.as_secs() as i64 + 4; // this client knows whole seconds
    let sent = MessageBuilder::delay_message_builder(topic.as_str(), b"later".to_vec(), due);
    from.send(sent.build().map_err(text)?).await.map_err(text)?;
    let to = consumer(&topic, &unique("group")).await?;
    let got = Receiving::all(&topic).until(&to, 20 * SECOND, 1).await;
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_err(text)?.as_millis() as i64;
    check!(got.different() == 1, "it did not arrive");
    check!(at >= due * 1000, "it came {} ms early", due * 1000 - at);
    check!(at < due * 1000 + 3000, "it came {} ms late", at - due * 1000);
    Ok(format!("{} ms after it was due", at - due * 1000))
}

async fn transactions() -> Outcome<String> {
    let topic = new_topic("transaction", "TRANSACTION")?;
    let from = transaction_producer(&topic, |_, _| TransactionResolution::UNKNOWN).await?;
    let half = |body: &str| {
        MessageBuilder::transaction_message_builder(topic.as_str(), body.as_bytes().to_vec()).build()
    };
    let committed = from.send_transaction_message(half("yes").map_err(text)?).await.map_err(text)?;
    let rolled_back = from.send_transaction_message(half("no").map_err(text)?).await.map_err(text)?;
    let to = consumer(&topic, &unique("group")).await?;
    let all = Receiving::all(&topic);
    let early = all.until(&to, 3 * SECOND, 1).await;
    check!(early.different() == 0, "before the commit: {:?}", early.attempts);
    rolled_back.rollback().await.map_err(text)?;
    committed.commit().await.map_err(text)?;
    let got = all.until(&to, 10 * SECOND, 2).await;
    check!(got.attempts.keys().collect::<Vec<_>>() == ["yes"], "what arrived: {:?}", got.attempts);
    Ok(String::new())
}

async fn orphan() -> Outcome<String> {
    let topic = new_topic("orphan", "TRANSACTION")?;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let from = transaction_producer(&topic, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        TransactionResolution::COMMIT
    })
    .await?;
    let half = MessageBuilder::transaction_message_builder(topic.as_str(), b"orphan".to_vec());
    from.send_transaction_message(half.build().map_err(text)?).await.map_err(text)?;
    let to = consumer(&topic, &unique("group")).await?;
    let began = Instant::now();
    let got = Receiving::all(&topic).until(&to, 90 * SECOND, 1).await;
    check!(got.different() == 1, "it never arrived; asked {} times", asked.load(Ordering::Relaxed));
    check!(asked.load(Ordering::Relaxed) > 0, "it arrived although nobody was asked");
    Ok(format!("after {:.1} s", began.elapsed().as_secs_f64()))
}

async fn refused() -> Outcome<String> {
    check!(producer(&unique("nowhere")).await.is_err(), "a producer of an unknown topic started");
    let topic = new_topic("typed", "FIFO")?;
    let from = producer(&topic).await?;
    let wrong = from.send(message(&topic, "no group")).await;
    check!(wrong.is_err(), "a normal message was taken by a FIFO topic");
    Ok(String::new())
}

async fn sizes() -> Outcome<String> {
    let topic = new_topic("sizes", "NORMAL")?;
    let from = producer(&topic).await?;
    let large = "x".repeat(1 << 20);
    from.send(message(&topic, &large)).await.map_err(text)?;
    let too_large = from.send(message(&topic, &"x".repeat((4 << 20) + 1))).await;
    check!(too_large.is_err(), "a body above 4 MiB was taken");
    let to = consumer(&topic, &unique("group")).await?;
    let got = Receiving::all(&topic).until(&to, 20 * SECOND, 1).await;
    check!(got.attempts.contains_key(&large), "{} messages arrived", got.different());
    Ok(String::new())
}

struct Sent {
    acknowledged: Vec<String>,
    failed: usize,
    /// The longest time without an acknowledged send.
    gap: Duration,
}

/// Sends one by one while `disturb` runs, and two seconds more. This client neither sends again nor
/// leaves out an address where nobody listens, so that is done here: what fails is sent again.
async fn send_meanwhile(
    topic: &str,
    disturb: impl std::future::Future<Output = Outcome<()>>,
) -> Outcome<Sent> {
    let from = producer(topic).await?;
    let mut sent = Sent { acknowledged: Vec::new(), failed: 0, gap: Duration::ZERO };
    let mut end = None;
    let mut last = Instant::now();
    tokio::pin!(disturb);
    while end.is_none_or(|end| Instant::now() < end) {
        let body = format!("m-{:06}", sent.acknowledged.len());
        let sending = from.send(message(topic, &body));
        tokio::pin!(sending);
        let outcome = loop {
            tokio::select! {
                outcome = &mut sending => break outcome,
                done = &mut disturb, if end.is_none() => {
                    done?;
                    end = Some(Instant::now() + 2 * SECOND);
                }
            }
        };
        if outcome.is_err() {
            sent.failed += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        sent.gap = sent.gap.max(last.elapsed());
        last = Instant::now();
        sent.acknowledged.push(body);
    }
    check!(sent.gap < 3 * SECOND, "nothing was acknowledged for {:?}", sent.gap);
    Ok(sent)
}

async fn check_all_there(topic: &str, sent: &Sent) -> Outcome<String> {
    // While a member is down this client may not start: it asks one address and gives up.
    blocking(cluster::heal).await?;
    let to = consumer(topic, &unique("group")).await?;
    let wanted = sent.acknowledged.len();
    // Failed sends may have been stored too.
    let end = Instant::now() + 90 * SECOND;
    let mut seen = std::collections::BTreeSet::new();
    while Instant::now() < end && !sent.acknowledged.iter().all(|body| seen.contains(body)) {
        let got = Receiving::all(topic).until(&to, 10 * SECOND, 500).await;
        seen.extend(got.attempts.into_keys());
    }
    let missing: Vec<_> = sent.acknowledged.iter().filter(|body| !seen.contains(*body)).collect();
    check!(missing.is_empty(), "{} of {wanted} acknowledged are missing: {missing:?}", missing.len());
    Ok(format!(
        "{wanted} acknowledged, {} tries failed, at most {} ms without one",
        sent.failed,
        sent.gap.as_millis()
    ))
}

async fn blocking(call: impl FnOnce() -> Outcome<()> + Send + 'static) -> Outcome<()> {
    tokio::task::spawn_blocking(call).await.map_err(text)?
}

async fn kill_while_sending() -> Outcome<String> {
    let topic = new_topic("kill", "NORMAL")?;
    let sent = send_meanwhile(&topic, async {
        tokio::time::sleep(SECOND).await;
        blocking(|| cluster::call(&["kill", "leader"]).map(|_| ())).await?;
        tokio::time::sleep(2 * SECOND).await;
        Ok(())
    })
    .await?;
    check_all_there(&topic, &sent).await
}

async fn kill_while_consuming() -> Outcome<String> {
    let topic = new_topic("consume", "NORMAL")?;
    let bodies = send_many(&producer(&topic).await?, &topic, 300).await?;
    let to = consumer(&topic, &unique("group")).await?;
    let mut got = Receiving::all(&topic).until(&to, 20 * SECOND, 60).await;
    cluster::kill_leader().await?;
    let rest = Receiving::all(&topic);
    let end = Instant::now() + 60 * SECOND;
    while got.different() < bodies.len() && Instant::now() < end {
        let more = rest.until(&to, 5 * SECOND, bodies.len()).await;
        got.failures += more.failures;
        for (body, attempts) in more.attempts {
            got.attempts.entry(body).or_default().extend(attempts);
        }
    }
    check!(got.different() == bodies.len(), "{} of {} arrived", got.different(), bodies.len());
    let twice = got.attempts.values().filter(|attempts| attempts.len() > 1).count();
    Ok(format!("{} calls failed, {twice} messages came more than once", got.failures))
}

async fn rolling() -> Outcome<String> {
    let topic = new_topic("rolling", "NORMAL")?;
    let sent = send_meanwhile(&topic, async {
        for id in cluster::ids()? {
            blocking(move || cluster::restart(&id)).await?;
        }
        Ok(())
    })
    .await?;
    check_all_there(&topic, &sent).await
}
