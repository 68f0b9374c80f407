import pytest

from benchmarks.reliability import any_folder
from factories import of_feature

pytestmark = pytest.mark.usefixtures("unpainted")


# One time step, recordings whose frames are shorter than a microsecond's share, three seeds; file
# names that are no text.
REPORTS, ERRORS = [(0, 35), (0, 39), (0, 46), (0, 48), (0, 54), (1, 80)], [(0, 1), (0, 3)]


@pytest.mark.parametrize(
    ("case", "expected"),
    [*((case, "report") for case in REPORTS), *((case, "error: error: ") for case in ERRORS)],
)
def test_the_main_job_ends_in_a_report_or_an_error_for_people_on_any_folder(case, expected):
    made = any_folder.make(*case, jobs=False)
    if "--recipe events" in made.command:
        of_feature("event_cameras.array_files")
    end, text = any_folder.run(made)
    assert end.startswith(expected), f"{made.command}\n{text}"
