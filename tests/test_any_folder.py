import pytest

from benchmarks.reliability import any_folder

pytestmark = pytest.mark.usefixtures("unpainted")


# One time step, recordings whose frames are shorter than a microsecond's share, three seeds.
@pytest.mark.parametrize("number", [35, 39, 46, 48, 54])
def test_the_main_job_ends_in_a_report_on_any_folder(number):
    case = any_folder.make(0, number, jobs=False)
    end, text = any_folder.run(case)
    assert end == "report", f"{case.command}\n{text}"


def test_file_names_that_are_no_text_end_in_a_report():
    case = any_folder.make(1, 80, jobs=False)
    end, text = any_folder.run(case)
    assert end == "report", f"{case.command}\n{text}"


@pytest.mark.parametrize("number", [1, 3])
def test_or_in_an_error_for_people(number):
    case = any_folder.make(0, number, jobs=False)
    end, text = any_folder.run(case)
    assert end.startswith("error: error: "), f"{case.command}\n{text}"
