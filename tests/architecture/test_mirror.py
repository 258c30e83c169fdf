"""A test file mirrors its module: tests/agents/workers/test_jobs.py is for agents/workers/jobs.py."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
OF_SEVERAL_MODULES = {"architecture", "contract", "documentation", "faults", "gpu", "gpu_host", "integration"}
WITHOUT_A_MODULE = {
    "agents/commands/test_limits_of_machine.py": "commands that the machine denies something",
    "agents/commands/test_watch_gains.py": "a whole agent that finds gain references",
    "agents/commands/test_watch_gain.py": "how an agent as a process waits for a gain reference",
    "agents/commands/test_watch_gain_orientation.py": "what `watch` holds back until an orientation is known",
    "agents/commands/test_watch_inputs.py": "a whole agent whose inputs come late",
    "agents/commands/test_watch_listeners.py": "what `watch` prints when its listeners are slow or fail",
    "agents/steps/test_crashing_movies.py": "movies that end a worker or make its GPU fail",
    "agents/test_foreign_answers.py": "a whole agent and what answers in its receiver's place",
    "agents/test_odd_files.py": "a whole agent and every odd file",
    "agents/test_wrong_ends.py": "a whole agent whose link ends at the wrong thing",
    "agents/workers/test_lost_gpu.py": "a worker whose GPU fails",
    "agents/workers/test_variables.py": "the variables that a worker gets",
    "api/access/test_every_route_with_every_token.py": "every route with every kind of token",
    "api/http/test_before_a_token.py": "every route without a token",
    "api/http/test_guard_over_tls.py": "the guard over TLS",
    "api/http/test_hostile_heads.py": "heads that no client of ours sends",
    "api/routes/test_query_plans.py": "the statements of all routes that list something",
    "preprocess/backends/compiled/test_elementary.py": "a header in C",
    "preprocess/backends/cuda/test_decoders_against_damage.py": "all decoders, with damaged input",
    "preprocess/backends/cuda/test_decoders_sanitized.py": "all decoders, under sanitizers",
    "preprocess/backends/cuda/test_failures_on_host.py": "a batch on a device that fails",
    "preprocess/backends/cuda/test_images_on_host.py": "all kernels for images, on the host",
    "preprocess/backends/cuda/test_kernels_compile.py": "all kernels, for every generation of devices",
    "preprocess/backends/cuda/test_kernels_race_free.py": "kernels with barriers, under ThreadSanitizer",
    "preprocess/backends/cuda/test_on_host.py": "the whole backend, on the host",
    "preprocess/backends/cuda/test_streams_on_host.py": "the backend's streams, in every order that events allow",
    "preprocess/layouts/test_layouts.py": "all layouts and the automatic choice among them",
    "preprocess/movies/test_eer_upsampling.py": "a property of EER movies over several modules",
    "preprocess/movies/test_open_movie.py": "all formats through open_movie",
    "preprocess/outputs/test_relion_polishing.py": "RELION's polishing with our motion files",
    "preprocess/sidecars/test_odd_texts.py": "mdoc and XML however they are encoded, cut off or padded",
    "preprocess/pipeline/test_magnification.py": "distortion of the magnification, from settings to sum",
    "preprocess/pipeline/test_orientation.py": "orientation of every format, from file to sum",
    "preprocess/pipeline/test_relion_comparison.py": "the whole pipeline against RELION",
    "preprocess/pipeline/test_unbelievable_values.py": "values that nobody can believe, from file to micrograph",
    "test_command_process.py": "the processes that tests start",
    "test_defaults.py": "defaults that several packages share",
    "test_front_door.py": "the command as a user meets it",
    "test_packaging.py": "the source archive",
    "test_waiting.py": "the tests' own waiting",
    "transfer/commands/test_giving_up.py": "what send, fetch and verify wait for",
    "transfer/commands/test_giving_up_in_time.py": "how long they wait for it",
    "transfer/commands/test_through_proxies.py": "send and fetch through proxies",
    "transfer/connections/test_connections.py": "what both kinds of connections promise",
}


def test_each_test_file_mirrors_a_module_or_says_why_not() -> None:
    strangers = set()
    for path in TESTS.rglob("test_*.py"):
        inside = path.relative_to(TESTS)
        module = ROOT / inside.parent / path.stem.removeprefix("test_")
        there = module.with_suffix(".py").exists() or (module / "__init__.py").exists()
        if inside.parts[0] not in OF_SEVERAL_MODULES and not there:
            strangers.add(inside.as_posix())
    assert strangers - set(WITHOUT_A_MODULE) == set(), "move it, or name it in WITHOUT_A_MODULE with the reason"
    assert set(WITHOUT_A_MODULE) - strangers == set(), "it has a module now, or is gone: remove it from the list"
