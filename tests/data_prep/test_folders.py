from data_prep.folders import files_below


def test_folders_that_are_links_are_read_once_also_where_they_are_circular(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for folder in (data, elsewhere):
        folder.mkdir()
        (folder / "a.csv").touch()
    (data / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(data)
    (data / "lost.csv").symlink_to(tmp_path / "nowhere")
    assert files_below(data) == [data / "a.csv", data / "linked" / "a.csv"]
