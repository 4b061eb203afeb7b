"""Every fault a sweep must survive, and the tests that show that it does.

==========================  ========================================================================
fault                       tests
==========================  ========================================================================
kill -9 of the runner       tests/runner/test_run.py::test_cells_do_not_outlive_a_killed_runner
                            tests/runner/test_run.py::test_twenty_kills_at_random_moments_change_nothing
kill -9 of a cell           tests/runner/test_run.py::test_a_cell_that_always_dies_is_given_up_for_now
                            tests/training/test_loop.py::test_killed_processes_resume_to_the_same_bits
kill -9 of a Ray worker     tests/runner/test_ray.py::test_a_killed_ray_worker_costs_a_restart_of_its_cell
kill -9 of a DDP process    tests/runner/test_ddp.py::test_a_killed_worker_costs_a_restart_of_the_cell
a data-loader worker dying  tests/data/test_loading.py::test_death_of_a_worker_is_said
                            tests/runner/test_run.py::test_a_cell_that_lost_a_helper_goes_on_from_its_checkpoint
out of memory               tests/runner/test_run.py::test_failed_cells_say_why_the_others_go_on_and_they_are_retried_when_asked
disk full                   tests/faults/test_disk_full.py::test_every_write_may_fail
                            tests/faults/test_disk_full.py::test_a_real_disk_that_is_full_and_then_has_room
                            tests/faults/test_disk_full_merge.py::test_every_write_of_a_merge_may_fail
results file truncated      tests/faults/test_damaged_results.py::test_truncated_at_every_length
results file garbled        tests/faults/test_damaged_results.py::test_garbled_at_every_byte
                            tests/faults/test_damaged_results.py::test_the_same_command_measures_again_what_was_damaged
                            tests/properties/test_malformed_files.py::test_bytes_of_measurements
an older schema             tests/faults/test_damaged_results.py::test_an_older_schema_is_migrated_as_it_is_read
a newer schema              tests/faults/test_damaged_results.py::test_a_newer_schema_is_refused_and_kept
store read-only             tests/faults/test_read_only.py::test_a_read_only_mount
                            tests/faults/test_read_only.py::test_where_nothing_can_be_mounted
checkpoint cut short        tests/faults/test_checkpoint_cut.py::test_at_every_length_the_one_before_it_is_taken
                            tests/faults/test_checkpoint_cut.py::test_the_result_is_that_of_an_undisturbed_run
                            tests/faults/test_checkpoint_cut.py::test_weights_cut_short_are_trained_again
two runners on one store    tests/runner/test_run.py::test_two_runs_share_the_work_and_compute_nothing_twice
                            tests/runner/test_run.py::test_a_cell_of_another_run_is_waited_for
clock set back              tests/faults/test_clock.py::test_a_run_resumes_to_the_same_bits_and_then_has_nothing_to_do
                            tests/faults/test_clock.py::test_locks_are_not_kept_by_dates
NaN in a loss               tests/faults/test_not_a_number.py::test_the_others_go_on_and_the_run_ends_with_1
                            tests/training/test_loop.py::test_nan_names_the_first_bad_iteration
NaN in a detection          tests/evaluation/test_predict.py::test_a_detection_that_is_not_finite_fails_the_cell
                            tests/faults/test_not_a_number.py::test_what_is_not_finite_is_never_written_as_detections
malformed input             tests/properties/test_malformed_recipes.py, test_malformed_annotations.py,
                            test_malformed_files.py, test_malformed_options.py
==========================  ========================================================================

``DETBENCH_FUZZ=full pytest tests/properties tests/faults`` makes more than 20,000 malformed inputs
and fails every single write; without it CI makes some 1,500 and of many alike writes fails two.
"""  # noqa: E501

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_the_index_names_is_there() -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", __doc__ or "")
    assert len(named) > 20
    for path, name in named:
        assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
