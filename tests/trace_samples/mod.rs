//! One small file per trace format, as a template whose rows can be broken, or repeated without end.

use std::io::{self, Read};

/// A template: `head`, rows with `between` between them, `tail`.
pub(crate) struct Sample {
    /// The format's name in the registry.
    pub(crate) format: &'static str,
    head: &'static str,
    /// A row: `@N` stands for its number, `@L` for its prompt's length (or text), `@T` for its time.
    row: &'static str,
    between: &'static str,
    tail: &'static str,
    /// What stands for `@L` in a good row.
    pub(crate) length: &'static str,
    /// What stands for `@T` in a row; null where the format has no times.
    pub(crate) time: Option<fn(u64) -> String>,
    /// The most memory that a row may take while a file is read, in bytes: less than its entry's (120, while they are sorted
    /// more than twice that) and its own text together, so that a reader which holds the file does not pass.
    pub(crate) bytes_per_row: usize,
}

/// Every format of the registry.
pub(crate) const SAMPLES: &[Sample] = &[
    Sample {
        format: "mooncake_trace",
        row: r#"{"timestamp": @T, "input_length": @L, "output_length": 52, "hash_ids": [0, 1@N]}"#,
        ..JSON_LINES
    },
    Sample {
        format: "agentic_mooncake",
        head: "{\"schema\": \"dynamo.agentic_mooncake\", \"version\": 2, \"block_size\": 512}\n",
        row: r#"{"request_id": "r@N", "play_id": "p@N", "session_id": "s", "model": "m", "input_length": @L, "output_length": 2, "hash_ids": [1, 2], "not_before_ms": @T, "dependencies": []}"#,
        bytes_per_row: 1100,
        ..JSON_LINES
    },
    Sample {
        format: "dynamo_request_trace",
        row: r#"{"schema": "dynamo.request.trace.v1", "event_type": "request_end", "event_time_unix_ms": 1760000000000, "agent_context": {"session_id": "s@N"}, "request": {"model": "m", "output_tokens": 2, "request_received_ms": @T, "total_time_ms": 10, "replay": {"trace_block_size": 512, "input_length": @L, "input_sequence_hashes": [0, 1@N]}}}"#,
        time: Some(milliseconds_since_1970),
        bytes_per_row: 600,
        ..JSON_LINES
    },
    Sample {
        format: "kv_cache_tester",
        head: "[",
        row: r#"{"id": "s@N", "models": ["m"], "block_size": 64, "hash_id_scope": "local", "requests": [{"t": @T, "type": "s", "model": "m", "in": @L, "out": 9, "hash_ids": [1, 2, 3, 4, 5, 6, 7, 8, 9]}]}"#,
        between: ",\n",
        tail: "]\n",
        time: Some(seconds),
        bytes_per_row: 1200,
        ..JSON_LINES
    },
    Sample {
        format: "ragpulse_trace",
        row: r#"{"timestamp": "@T", "input_length": @L, "output_length": 9, "hash_ids": {"sys_prompt": [0], "user_input": [1@N]}, "session_id": "s@N"}"#,
        time: Some(seconds),
        bytes_per_row: 530,
        ..JSON_LINES
    },
    Sample {
        format: "bailian_trace",
        row: r#"{"chat_id": @N, "parent_chat_id": -1, "timestamp": @T, "input_length": @L, "output_length": 9, "type": "text", "turn": 1, "hash_ids": [0, 1@N]}"#,
        time: Some(seconds),
        bytes_per_row: 600,
        ..JSON_LINES
    },
    Sample {
        format: "azure_trace",
        head: "TIMESTAMP,ContextTokens,GeneratedTokens\n",
        row: "@T,@L,44",
        time: Some(date),
        bytes_per_row: 320,
        ..CSV
    },
    Sample {
        format: "burst_gpt_trace",
        head: "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n",
        row: "@T,s@N,43,GPT-4,@L,446,1352,Conversation log",
        time: Some(seconds),
        bytes_per_row: 450,
        ..CSV
    },
    Sample {
        format: "tracelab_trace",
        head: "id,input_len,output_len,arrival_time,round_idx,tool_wait_after_ms,prefix_len\n",
        row: "s@N,@L,64,@T,0,100.5,0",
        bytes_per_row: 540,
        ..CSV
    },
    Sample {
        format: "openai_batch",
        row: r#"{"custom_id": "@N", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "q@N"}], "max_tokens": @L}}"#,
        time: None,
        ..JSON_LINES
    },
    Sample {
        format: "sharegpt",
        head: "[\n",
        row: r#"{"id": "@N", "conversations": [{"from": "human", "value": @L}, {"from": "gpt", "value": "an answer"}]}"#,
        between: ",\n",
        tail: "]\n",
        length: "\"a question\"",
        time: None,
        bytes_per_row: 500,
    },
    Sample {
        format: "chat_jsonl",
        row: r#"{"messages": [{"role": "user", "content": "q@N"}], "max_tokens": @L}"#,
        time: None,
        ..JSON_LINES
    },
    Sample { format: "single_turn", row: r#"{"text": "q@N", "output_length": @L, "timestamp": @T}"#, ..JSON_LINES },
    Sample {
        format: "multi_turn",
        row: r#"{"session_id": "s@N", "turns": [{"text": "q@N", "output_length": @L, "timestamp": @T}]}"#,
        bytes_per_row: 600,
        ..JSON_LINES
    },
];

const JSON_LINES: Sample = Sample {
    format: "",
    head: "",
    row: "",
    between: "\n",
    tail: "\n",
    length: "600",
    time: Some(milliseconds),
    bytes_per_row: 400,
};

/// Without a final newline, as Azure's files are.
const CSV: Sample = Sample { tail: "", ..JSON_LINES };

fn milliseconds(n: u64) -> String {
    format!("{}", n * 100)
}

fn milliseconds_since_1970(n: u64) -> String {
    format!("{}", 1_760_000_000_000 + n * 100)
}

fn seconds(n: u64) -> String {
    format!("{}.5", n * 3)
}

fn date(n: u64) -> String {
    format!("2023-11-{:02} {:02}:{:02}:{:02}.6805900", 1 + n / 86_400, n / 3600 % 24, n / 60 % 60, n % 60)
}

impl Sample {
    /// A row with this number, the time of that number, and this length.
    pub(crate) fn row(&self, number: u64, time: &str, length: &str) -> String {
        self.row.replace("@N", &number.to_string()).replace("@T", time).replace("@L", length)
    }

    /// The time of a good row.
    pub(crate) fn time(&self, number: u64) -> String {
        self.time.map_or_else(String::new, |time| time(number))
    }

    /// A good row.
    pub(crate) fn good_row(&self, number: u64) -> String {
        self.row(number, &self.time(number), self.length)
    }

    /// A file of these rows.
    pub(crate) fn file(&self, rows: &[String]) -> String {
        [self.head, &rows.join(self.between), self.tail].concat()
    }

    /// A file of so many good rows, which is never held.
    pub(crate) fn endless(&'static self, rows: u64) -> Rows {
        Rows { sample: self, next: 0, rows, bytes: self.head.into(), at: 0 }
    }
}

/// Rows that are made as they are read.
pub(crate) struct Rows {
    sample: &'static Sample,
    next: u64,
    rows: u64,
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.bytes.len() && self.next <= self.rows {
            let text = match self.next {
                n if n == self.rows => self.sample.tail.to_owned(),
                0 => self.sample.good_row(0),
                n => self.sample.between.to_owned() + &self.sample.good_row(n),
            };
            (self.bytes, self.at) = (text.into_bytes(), 0);
            self.next += 1;
        }
        let taken = (self.bytes.len() - self.at).min(out.len());
        out[..taken].copy_from_slice(&self.bytes[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}
