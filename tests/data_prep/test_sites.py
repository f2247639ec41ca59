from data_prep.sites import antwerp_sites


def test_the_table_holds_the_32_sites_with_their_kinds():
    sites = antwerp_sites()
    assert len(sites) == sites["site"].nunique() == 32
    kinds = sites["site"].str.extract(r"^(ANT_REF|ANT_URB|ANT_TRA|VITO)")[0].value_counts()
    assert kinds.to_dict() == {"ANT_URB": 13, "ANT_TRA": 9, "ANT_REF": 9, "VITO": 1}


def test_sites_lie_in_antwerp_and_have_numbers():
    sites = antwerp_sites()
    assert sites["latitude"].between(51.1, 51.3).all()
    assert sites["longitude"].between(4.3, 4.5).all()
    assert (sites["distance_to_road_m"] > 0).all()
    assert sites["site"][sites["traffic_per_hour"].isna()].tolist() == ["ANT_URB_BEGI"]


def test_the_class_of_a_site_is_in_its_name():
    classes = antwerp_sites().set_index("site")["class"]
    assert classes.value_counts().to_dict() == {"urban": 13, "reference": 9, "traffic": 9}
    assert classes["ANT_REF_R803"] == "reference"
    assert classes.isna().sum() == 1
