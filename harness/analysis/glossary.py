"""What every metric means, in the words that reports print beside its numbers.

One vocabulary: the ids here are those of scenarios, records, JSON and anchors.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """title: for headings.  definition: one sentence.  population: what it is taken over."""

    title: str
    definition: str
    unit: str
    population: str


_REQUESTS = "requests intended in the window"
GLOSSARY: dict[str, Entry] = {
    "ttft": Entry(
        "Time to first token",
        "From the intended send to the first chunk that bears a token of any kind.",
        "s",
        _REQUESTS,
    ),
    "ttft_service": Entry(
        "Time to first token, from the actual send",
        "From the first byte sent to the first token; hides what waited in the client.",
        "s",
        _REQUESTS,
    ),
    "ttfv": Entry(
        "Time to first visible text",
        "From the intended send to the first non-empty content, reasoning left out.",
        "s",
        f"{_REQUESTS} with visible text",
    ),
    "time_to_first_argument": Entry(
        "Time to first argument byte",
        "From the intended send to the first chunk with a byte of a tool call's arguments.",
        "s",
        f"{_REQUESTS}, of classes that ask for calls, with one",
    ),
    "time_to_tool_call": Entry(
        "Time to a valid tool call",
        "From the intended send to the chunk that completes the first call whose arguments keep"
        " their schema.",
        "s",
        f"{_REQUESTS}, of classes that ask for calls, with one",
    ),
    "tool_valid": Entry(
        "Valid tool calls",
        "Share of complete answers with at least one call, each of an offered function with"
        " arguments that keep its schema; an answer cut by its length is not valid.",
        "ratio",
        "complete answers of classes that ask for calls",
    ),
    "schema_valid": Entry(
        "Schema-valid answers",
        "Share of complete answers that are JSON of the schema asked for; one cut by its length is"
        " not valid.",
        "ratio",
        "complete answers of classes with a schema",
    ),
    "valid_tok_per_s": Entry(
        "Valid tokens/s",
        "Tokens stamped in the window that belong to fit answers (valid calls, valid documents),"
        " divided by the window; tokens of all others are out.",
        "tok/s",
        "the system",
    ),
    "e2e_latency": Entry(
        "End-to-end latency",
        "From the intended send to the end of the answer; requests cut by the end of the run enter"
        " by Kaplan-Meier.",
        "s",
        _REQUESTS,
    ),
    "e2e_latency_service": Entry(
        "End-to-end latency, from the actual send",
        "From the first byte sent to the end of the answer.",
        "s",
        _REQUESTS,
    ),
    "tpot": Entry(
        "Time per output token",
        "From the first to the last token, divided by the tokens after the first chunk's;"
        " one-token answers have none.",
        "s/tok",
        f"{_REQUESTS} with more tokens than the first chunk held",
    ),
    "icl": Entry(
        "Inter-chunk latency",
        "Gap between neighbouring chunks of an answer, whatever number of tokens they carry.",
        "s",
        "chunk gaps of successes",
    ),
    "itl": Entry(
        "Inter-token latency",
        "Inter-chunk latency where a chunk is one token in at least 95 % of answers.",
        "s",
        "chunk gaps of successes",
    ),
    "max_stall": Entry(
        "Longest stall",
        "The largest gap between chunks of a request; for failures, up to the cut.",
        "s",
        f"{_REQUESTS} with a gap",
    ),
    "output_tok_per_s_per_user": Entry(
        "Output tokens/s per user",
        "1 / tpot of each request: how fast one answer is written.",
        "tok/s",
        f"{_REQUESTS} that have a tpot",
    ),
    "output_tok_per_s": Entry(
        "Output tokens/s of the system",
        "Tokens stamped in the window divided by the window, failed requests left out; `peak` is"
        " the best sliding second.",
        "tok/s",
        "the system",
    ),
    "good_tok_per_s": Entry(
        "Tokens of good requests/s",
        "Input and output tokens of good requests intended in the window, divided by the window.",
        "tok/s",
        f"{_REQUESTS}, valid ones",
    ),
    "good_tok_share": Entry(
        "Tokens of good requests over those billed",
        "The same tokens over the input and output tokens of every attempt that brought tokens.",
        "ratio",
        f"{_REQUESTS} that brought tokens",
    ),
    "usd_per_good_mtok": Entry(
        "Cost of a million good tokens",
        "Bill over input and output tokens of good requests: on demand the GPU time of the window,"
        " serverless every token that was billed.",
        "USD/Mtok",
        f"{_REQUESTS} that brought tokens",
    ),
    "usd_per_good_req": Entry(
        "Cost of a good request",
        "The same bill over good requests.",
        "USD",
        f"{_REQUESTS} that brought tokens",
    ),
    "wasted_tok_per_s": Entry(
        "Wasted tokens/s",
        "Tokens stamped in the window that belong to requests which failed, divided by the window.",
        "tok/s",
        "the system",
    ),
    "request_per_s": Entry(
        "Completed requests/s",
        "Successes that ended in the window divided by the window (achieved, not offered).",
        "req/s",
        "the system",
    ),
    "input_tok_per_s": Entry(
        "Input tokens/s",
        "Prompt tokens of the successes that ended in the window, divided by the window.",
        "tok/s",
        "the system",
    ),
    "vector_per_s": Entry(
        "Vectors/s",
        "Embeddings of the successes that ended in the window, divided by the window.",
        "vec/s",
        "the system",
    ),
    "rtf": Entry(
        "Real-time factor",
        "From the first byte sent to the end of the answer, divided by the length of the audio.",
        "s/s",
        f"{_REQUESTS} that sent audio",
    ),
    "audio_min_per_s": Entry(
        "Minutes of audio/s",
        "Audio of the successes that ended in the window, in minutes, divided by the window.",
        "min/s",
        "the system",
    ),
    "usd_per_audio_min": Entry(
        "Cost of a minute of audio",
        "Bill over minutes transcribed: on demand GPU time of the window, serverless the price.",
        "USD/audio_min",
        f"{_REQUESTS} that sent audio",
    ),
    "max_goodput": Entry(
        "Sustained rate",
        "The largest offered rate whose SLO attainment stays at or above the share the scenario"
        " asks for, from several rates of an open load.",
        "req/s",
        f"valid {_REQUESTS}, by rate",
    ),
    "slo_attainment": Entry(
        "SLO attainment",
        "Share of valid requests that succeeded and kept every limit; a failure is a miss, a limit"
        " the request cannot have is skipped.",
        "ratio",
        f"valid {_REQUESTS}",
    ),
    "goodput_req_per_s": Entry(
        "Goodput",
        "Requests that succeeded and kept every limit, divided by the window.",
        "req/s",
        f"valid {_REQUESTS}",
    ),
    "error_rate": Entry(
        "Error rate",
        "Failures other than 429 divided by valid requests (all but cancelled, cut and client"
        " faults).",
        "ratio",
        f"valid {_REQUESTS}",
    ),
    "throttle_rate": Entry(
        "Throttle rate",
        "Answers with status 429 divided by valid requests.",
        "ratio",
        f"valid {_REQUESTS}",
    ),
    "uptime": Entry(
        "Uptime",
        "Share of windows with few enough bad answers; beside it 1 - bad / valid over"
        " the period, and the mean over windows.",
        "ratio",
        "windows with a request",
    ),
    "wire_overhead": Entry(
        "Wire overhead",
        "Time to first token from the actual send, less the server's own frontend, queue and"
        " prefill: network, HTTP and both kernels.",
        "s",
        f"successes among {_REQUESTS} whose server told its times",
    ),
    "step_error": Entry(
        "Error of held-out steps",
        "Of a calibration: absolute difference between a step's time and what the law fitted to the"
        " other points says, divided by the time.",
        "ratio",
        "swept points, each left out once",
    ),
    "send_lag": Entry(
        "Send lag",
        "From the intended to the actual send: how late the client was.",
        "s",
        "requests sent",
    ),
    "receive_lag": Entry(
        "Receive lag",
        "From the kernel's receive stamp to the moment the client read it.",
        "s",
        "receives",
    ),
}
