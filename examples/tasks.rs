//! Tasks: a ventilator hands out tasks, workers do them side by side, and a sink collects the results.
//!
//! PUSH and PULL, twice. Each task goes to one worker, in turn; workers may come and go.

mod guide;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use guide::{Background, Keys};
use ironhouse::Context;
use ironhouse::security::{CurveClient, CurveServer};
use ironhouse::socket::{Pull, Push};

const WORKERS: u32 = 3;
const TASKS: u32 = 60;

fn main() -> Result<()> {
    let context = Context::new()?;
    let keys = Keys::new(&context)?;

    let ventilator = context
        .typed::<Push>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .open()?;
    let tasks_at = ventilator.bind("tcp://127.0.0.1:*")?;
    let sink = context
        .typed::<Pull>()
        .secure(CurveServer::new(&keys.server, &keys.domain)) // the line more
        .open()?;
    let results_at = sink.bind("tcp://127.0.0.1:*")?;

    let mut background = Background::new(&context);
    for worker in 1..=WORKERS {
        let results = context
            .typed::<Push>()
            .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
            .open()?;
        results.connect(&results_at)?;
        // Checked: the first worker to be connected would be handed everything otherwise.
        let tasks = context
            .typed::<Pull>()
            .secure(CurveClient::new(&keys.client, keys.server_key)) // the line more
            .connect_checked(&tasks_at, Duration::from_secs(10))?;
        background.spawn(move || {
            loop {
                let task = tasks.recv()?;
                thread::sleep(Duration::from_millis(2)); // the work
                results.send_tuple((format!("worker {worker}"), task))?;
            }
        });
    }

    for task in 1..=TASKS {
        ventilator.send(task.to_be_bytes())?;
    }

    let (mut done, mut sum) = (BTreeMap::new(), 0);
    for _ in 0..TASKS {
        let [worker, task] = sink.recv_array()?;
        let worker = worker.as_str().context("a worker's name is text")?;
        *done.entry(worker.to_owned()).or_insert(0) += 1;
        sum += u32::from_be_bytes(task.as_ref().try_into()?);
    }
    ensure!(sum == TASKS * (TASKS + 1) / 2, "each task is done once");
    for (worker, count) in done {
        println!("{worker}: {count} tasks");
    }
    println!("all {TASKS} tasks done");
    Ok(())
}
