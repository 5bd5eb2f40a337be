//! Reports about the garbage collector, as `collector.py` makes them.
//!
//! Called by Python on whichever thread a collection falls, attached to the interpreter it is about.
//! Nothing here waits.

use super::record::Kind;
use super::{REPORTER, Reporter, seconds};
use crate::python::{Arguments, Methods, Owned, Python, Raised, keywords_method, python_function};

/// The functions that the Python half gets.
pub static FUNCTIONS: Methods<2> = Methods([
    keywords_method(
        c"report_collector",
        report_collector,
        c"Reports what the collector of an application group looks like.",
    ),
    keywords_method(
        c"report_collection",
        report_collection,
        c"Reports one collection of an application group.",
    ),
]);

/// The fields of a report begin here: counts, thresholds and statistics of the generations, whether
/// the collector is on, how much is frozen, and reports that were lost.
const STATE: u16 = 300;

/// Fields of one collection: its start, what it took, the generation, what was collected and what
/// could not be.
const BEGAN: u16 = 320;
const TOOK: u16 = 321;
const GENERATION: u16 = 322;

const APPLICATION_GROUP: u16 = 8;

python_function!(report_collector, collector_reported);
python_function!(report_collection, collection_reported);

fn collector_reported<'p>(
    python: Python<'p>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let (group, numbers) = report(python, arguments, "report_collector")?;
    if let Some(reporter) = REPORTER.get() {
        let mut record = reporter.record(Kind::Collector);
        for (id, number) in (STATE..).zip(numbers) {
            record.count(id, number);
        }
        reporter.send_for(record, &group);
    }
    Ok(Owned::none(python))
}

fn collection_reported<'p>(
    python: Python<'p>,
    arguments: Arguments<'p>,
) -> Result<Owned<'p>, Raised> {
    let (group, numbers) = report(python, arguments, "report_collection")?;
    if let (Some(reporter), [began, took, rest @ ..]) = (REPORTER.get(), &numbers[..]) {
        let mut record = reporter.record(Kind::Collection);
        record.number(BEGAN, seconds(*began));
        record.number(TOOK, seconds(*took));
        for (id, number) in (GENERATION..).zip(rest) {
            record.count(id, *number);
        }
        reporter.send_for(record, &group);
    }
    Ok(Owned::none(python))
}

/// The application group and the numbers that Python passed.
fn report<'p>(
    python: Python<'p>,
    arguments: Arguments<'p>,
    function: &str,
) -> Result<(Vec<u8>, Vec<u64>), Raised> {
    let [group, numbers] = arguments.bind(function, ["group", "numbers"])?;
    let group = group.and_then(|group| group.as_bytes()).unwrap_or_default();
    let mut values = Vec::new();
    if let Some(numbers) = numbers {
        for index in 0..numbers.sequence_length() {
            let number = numbers.item(python, index);
            values.push(number.and_then(|number| number.as_u64(python)).unwrap_or(0));
        }
    }
    Ok((group.to_vec(), values))
}

impl Reporter {
    /// Sends a record about an application group; that of the main interpreter goes without a name.
    fn send_for(&self, mut record: super::Record, group: &[u8]) {
        if !group.is_empty() {
            record.text(APPLICATION_GROUP, group);
        }
        self.send(&record);
    }
}
