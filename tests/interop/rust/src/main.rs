//! The official RocketMQ 5 client for Rust against the cluster in $RAFTMQ_CLUSTER_DIR. Prints TAP.
//! It has producers and simple consumers, no push consumer, no change of invisibility, no recall.
mod clients;
mod cluster;
mod consume;
mod tap;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clients::*;
use cluster::{new_topic, unique};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::MessageBuilder;
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use tap::{wait_until, Outcome, Scenario};

macro_rules! scenarios {
    ($($name:literal: $run:ident,)*) => { &[$(($name, || Box::pin($run()))),*] };
}

/// Those that leave the cluster alone; first those that wait longest.
const TOGETHER: &[Scenario] = scenarios! {
    "an acked message never comes again and an unacked one does": ack_and_not,
    "messages of a killed simple consumer are taken over": taken_over,
    "clients start and stop": start_and_stop,
    "a message arrives with all that was sent with it": all_fields,
    "sends in flight together are answered once each": sends_in_flight,
    "a batch arrives whole and in order": batch,
    "messages of one group arrive in order": fifo,
    "only messages with a wanted tag arrive": tags,
    "only messages that an SQL expression wants arrive": sql,
    "a delayed message comes when it is due": delayed,
    "a transaction is seen after its commit and never after its rollback": transactions,
    "an orphaned transaction is ended as its producer says when it is asked": orphan,
    "an unknown topic is refused": unknown_topic,
    "a message of the wrong type is refused": wrong_type,
    "a body above 4 MiB is refused and one of 1 MiB is taken": sizes,
};

const ALONE: &[Scenario] = scenarios! {
    "the leader is killed while a client sends": kill_while_sending,
    "the leader is killed while a client consumes": kill_while_consuming,
    "open transactions and delayed messages survive a killed leader": killed_between,
    "every member is restarted while a client sends and consumes": rolling,
};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, topic, group] = &arguments[..] {
        assert!(command == "consume", "no command {command}");
        consume::for_ever(topic, group).await.expect("a consumer");
    }
    let good = tap::run_all(TOGETHER, ALONE, cluster::heal).await;
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

async fn sends_in_flight() -> Outcome<String> {
    let topic = new_topic("async", "NORMAL")?;
    let from = Arc::new(producer(&topic).await?);
    let mut sending = tokio::task::JoinSet::new();
    for i in 0..50 {
        let (from, sent) = (from.clone(), message(&topic, &format!("m-{i}")));
        sending.spawn(async move { from.send(sent).await });
    }
    let mut ids = std::collections::BTreeSet::new();
    while let Some(answer) = sending.join_next().await {
        ids.insert(answer.map_err(text)?.map_err(text)?.message_id().to_string());
    }
    check!(ids.len() == 50, "{} message ids", ids.len());
    let to = consumer(&topic, &unique("group")).await?;
    let got = Receiving::all(&topic).until(&to, 30 * SECOND, 50).await;
    check!(got.different() == 50 && got.messages.len() == 50, "{} messages arrived", got.messages.len());
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
    send_many(&producer(&topic).await?, &topic, "m", 20).await?;
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

/// What a killed consumer held comes again; what nobody held comes at once.
async fn taken_over() -> Outcome<String> {
    let (topic, group) = (new_topic("takeover", "NORMAL")?, unique("group"));
    let from = producer(&topic).await?;
    let held = send_many(&from, &topic, "m", 10).await?;
    let mut by_the_killed = consume::hold_until_killed(&topic, &group, 10).await?;
    by_the_killed.sort();
    check!(by_the_killed == held, "it held {by_the_killed:?}");
    let began = Instant::now();
    let late = send_many(&from, &topic, "late", 5).await?;
    let to = consumer(&topic, &group).await?;
    let got = Receiving::all(&topic).until(&to, 40 * SECOND, 15).await;
    for (bodies, attempt) in [(held, 2), (late, 1)] {
        for body in bodies {
            let attempts = got.attempts.get(&body);
            check!(attempts == Some(&vec![attempt]), "attempts of {body}: {attempts:?}");
        }
    }
    Ok(format!("after {} s", began.elapsed().as_secs()))
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
            .set_tag(["red", "green", "blue", "grey"][i % 4]);
        from.send(sent.build().map_err(text)?).await.map_err(text)?;
    }
    let to = consumer(&topic, &unique("group")).await?;
    let mut wanted = Receiving::all(&topic);
    wanted.filter = FilterExpression::new(FilterType::Tag, "red || blue");
    let got = wanted.until(&to, 25 * SECOND, 10).await;
    check!(got.different() == 10, "{} of 10 arrived", got.different());
    check!(got.messages.iter().all(|one| matches!(one.tag(), Some("red" | "blue"))), "{:?}", got.attempts);
    let later = wanted.until(&to, 4 * SECOND, 1).await;
    check!(later.different() == 0, "later: {:?}", later.attempts);
    Ok(String::new())
}

async fn sql() -> Outcome<String> {
    let topic = new_topic("sql", "NORMAL")?;
    let from = producer(&topic).await?;
    for i in 0..20 {
        let sent = MessageBuilder::builder()
            .set_topic(topic.as_str())
            .set_body(format!("m-{i:02}").into_bytes())
            .set_tag(["even", "odd"][i % 2])
            .set_properties(HashMap::from([("price".to_string(), i.to_string())]));
        from.send(sent.build().map_err(text)?).await.map_err(text)?;
    }
    let to = consumer(&topic, &unique("group")).await?;
    let mut dear = Receiving::all(&topic);
    dear.filter = FilterExpression::new(FilterType::Sql, 
        "(price BETWEEN 15 AND 17 OR price = 3) AND TAGS = 'odd'");
    let got = dear.until(&to, 25 * SECOND, 3).await;
    let arrived: Vec<&String> = got.attempts.keys().collect();
    check!(arrived == ["m-03", "m-15", "m-17"], "what arrived: {arrived:?}");
    let later = dear.until(&to, 4 * SECOND, 1).await;
    check!(later.different() == 0, "later: {:?}", later.attempts);
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
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = asked.clone();
    let from = transaction_producer(&topic, move |_, message| {
        let body = body_of(&message);
        let commit = body == "yes";
        note.lock().expect("no holder panics").push(body);
        if commit { TransactionResolution::COMMIT } else { TransactionResolution::ROLLBACK }
    })
    .await?;
    let to = consumer(&topic, &unique("group")).await?;
    for body in ["yes", "no"] {
        let half = MessageBuilder::transaction_message_builder(topic.as_str(), body.as_bytes().to_vec());
        from.send_transaction_message(half.build().map_err(text)?).await.map_err(text)?;
    }
    let all = Receiving::all(&topic);
    let began = Instant::now();
    let got = all.until(&to, 90 * SECOND, 1).await;
    let took = began.elapsed();
    let questions = || asked.lock().expect("no holder panics").clone();
    check!(got.attempts.keys().eq(["yes"]), "arrived: {:?}; asked: {:?}", got.attempts, questions());
    wait_until(20 * SECOND, "both to be asked about", || questions().len() >= 2).await?;
    let later = all.until(&to, 3 * SECOND, 1).await;
    check!(later.different() == 0, "later: {:?}", later.attempts);
    Ok(format!("after {:.1} s", took.as_secs_f64()))
}

/// It failed, and its error holds these words.
fn refused(result: Outcome<()>, words: &str) -> Outcome<String> {
    match result {
        Err(error) if error.contains(words) => Ok(String::new()),
        Err(error) => Err(format!("refused, but without saying \"{words}\": {error}")),
        Ok(()) => Err(format!("taken, not refused with \"{words}\"")),
    }
}

async fn unknown_topic() -> Outcome<String> {
    refused(producer(&unique("nowhere")).await.map(|_| ()), "TOPIC_NOT_FOUND")
}

async fn wrong_type() -> Outcome<String> {
    let topic = new_topic("typed", "FIFO")?;
    let from = producer(&topic).await?;
    let wrong = from.send(message(&topic, "no group")).await;
    refused(wrong.map(|_| ()).map_err(text), "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE")
}

async fn sizes() -> Outcome<String> {
    let topic = new_topic("sizes", "NORMAL")?;
    let from = producer(&topic).await?;
    let large = "x".repeat(1 << 20);
    from.send(message(&topic, &large)).await.map_err(text)?;
    let too_large = from.send(message(&topic, &"x".repeat((4 << 20) + 1))).await;
    refused(too_large.map(|_| ()).map_err(text), "MESSAGE_BODY_TOO_LARGE")?;
    let to = consumer(&topic, &unique("group")).await?;
    let got = Receiving::all(&topic).until(&to, 20 * SECOND, 1).await;
    check!(got.attempts.contains_key(&large), "{} messages arrived", got.different());
    Ok(String::new())
}

async fn blocking(call: impl FnOnce() -> Outcome<()> + Send + 'static) -> Outcome<()> {
    tokio::task::spawn_blocking(call).await.map_err(text)?
}

/// All that was acknowledged and nothing else. A body may come twice: a send whose answer was lost was
/// repeated.
fn check_complete(sent: &Sent, got: &Received) -> Outcome<()> {
    let missing: Vec<_> = sent.bodies.iter().filter(|body| !got.attempts.contains_key(*body)).collect();
    check!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), sent.bodies.len());
    check!(got.different() == sent.bodies.len(), "{} different ones arrived", got.different());
    Ok(())
}

async fn kill_while_sending() -> Outcome<String> {
    let topic = new_topic("kill", "NORMAL")?;
    let from = producer(&topic).await?;
    // Before the kill: while a member is down this client may not start, it asks one address and gives up.
    let to = consumer(&topic, &unique("group")).await?;
    let mut sent = Sent::default();
    for i in 0..300 {
        if i == 80 {
            cluster::kill_leader().await?;
        }
        sent.send(&from, &topic, format!("m-{i}")).await?;
    }
    let got = Receiving::all(&topic).until(&to, 60 * SECOND, 300).await;
    check_complete(&sent, &got)?;
    check!(sent.longest < 10 * SECOND, "one send took {:?}", sent.longest);
    Ok(format!("{} tries failed, the longest send took {} ms", sent.failures, sent.longest.as_millis()))
}

async fn kill_while_consuming() -> Outcome<String> {
    let topic = new_topic("consume", "NORMAL")?;
    let from = producer(&topic).await?;
    let to = consumer(&topic, &unique("group")).await?;
    let mut sent = Sent::default();
    let sending = async {
        for i in 0..300 {
            if i == 150 {
                blocking(|| cluster::call(&["kill", "leader"]).map(|_| ())).await?;
            }
            sent.send(&from, &topic, format!("m-{i}")).await?;
        }
        Ok(())
    };
    let all = Receiving::all(&topic);
    let (ended, got) = tokio::join!(sending, all.until(&to, 90 * SECOND, 300));
    let ended: Outcome<()> = ended;
    ended?;
    check_complete(&sent, &got)?;
    let again = got.messages.len() - got.different();
    Ok(format!("{} receives or acks failed, {again} redelivered", got.failures))
}

async fn killed_between() -> Outcome<String> {
    let (halves, delays) = (new_topic("kill-half", "TRANSACTION")?, new_topic("kill-delay", "DELAY")?);
    let from = transaction_producer(&halves, |_, _| TransactionResolution::UNKNOWN).await?;
    let timer = producer(&delays).await?;
    let ended = consumer(&halves, &unique("group")).await?;
    let later = consumer(&delays, &unique("group")).await?;
    let mut open = Vec::new();
    for i in 0..8 {
        let body = format!("m-{i}");
        let half = MessageBuilder::transaction_message_builder(halves.as_str(), body.clone().into_bytes());
        let half = half.build().map_err(text)?;
        open.push((body, from.send_transaction_message(half).await.map_err(text)?));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(text)?;
    let due = now.as_secs() as i64 + 6;
    let delayed = MessageBuilder::delay_message_builder(delays.as_str(), b"later".to_vec(), due);
    timer.send(delayed.build().map_err(text)?).await.map_err(text)?;
    cluster::kill_leader().await?;
    // This client has one try for each, and some tries go to the address where nobody listens.
    let mut committed = Vec::new();
    for (body, transaction) in open {
        if transaction.commit().await.is_ok() {
            committed.push(body);
        }
    }
    check!(!committed.is_empty(), "nothing could be committed");
    let (all_halves, all_delays) = (Receiving::all(&halves), Receiving::all(&delays));
    let complete = |got: &Received| committed.iter().all(|body| got.attempts.contains_key(body));
    let got = all_halves.until_done(&ended, 20 * SECOND, complete).await;
    check!(complete(&got), "committed {committed:?}, arrived {:?}", got.attempts);
    let got = all_delays.until(&later, 20 * SECOND, 1).await;
    check!(got.attempts.keys().eq(["later"]), "delayed: {:?}", got.attempts);
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_err(text)?.as_millis() as i64;
    check!(at >= due * 1000 - 50, "it came {} ms early", due * 1000 - at);
    Ok(format!("{} of 8 tries to commit succeeded", committed.len()))
}

async fn rolling() -> Outcome<String> {
    let topic = new_topic("rolling", "NORMAL")?;
    let from = producer(&topic).await?;
    let to = consumer(&topic, &unique("group")).await?;
    let ids = cluster::ids()?;
    let restarting =
        tokio::task::spawn_blocking(move || ids.iter().try_for_each(|id| cluster::restart(id)));
    let mut sent = Sent::default();
    let sent_all = Cell::new(None); // how many, once it is known
    let sending = async {
        for i in 0.. {
            if restarting.is_finished() {
                break;
            }
            sent.send(&from, &topic, format!("m-{i}")).await?;
        }
        sent_all.set(Some(sent.bodies.len()));
        Ok(())
    };
    let all = Receiving::all(&topic);
    let done = |got: &Received| sent_all.get().is_some_and(|count| got.different() >= count);
    let (ended, got) = tokio::join!(sending, all.until_done(&to, 150 * SECOND, done));
    let ended: Outcome<()> = ended;
    ended?;
    restarting.await.map_err(text)??;
    check_complete(&sent, &got)?;
    let (count, longest) = (sent.bodies.len(), sent.longest.as_millis());
    Ok(format!("{count} sent, {} tries failed, the longest send took {longest} ms", sent.failures))
}
