from data_prep.senseurcity.sites import antwerp_sites


def test_the_table_holds_the_31_sites_with_their_kinds():
    sites = antwerp_sites()
    assert len(sites) == sites["site"].nunique() == 31
    kinds = sites["site"].str.extract("^(ANT_REF|ANT_URB|ANT_TRA)")[0].value_counts()
    assert kinds.to_dict() == {"ANT_URB": 14, "ANT_TRA": 8, "ANT_REF": 9}


def test_sites_lie_in_antwerp_and_have_numbers():
    sites = antwerp_sites()
    assert sites["latitude"].between(51.1, 51.3).all()
    assert sites["longitude"].between(4.3, 4.5).all()
    assert (sites["distance_to_road_m"] > 0).all()
    assert sites["site"][sites["traffic_per_hour"].isna()].tolist() == ["ANT_URB_BEGI"]


def test_the_class_of_a_site_is_in_its_name():
    classes = antwerp_sites().set_index("site")["class"]
    assert classes.value_counts().to_dict() == {"urban": 14, "reference": 9, "traffic": 8}
    assert classes["ANT_REF_R803"] == "reference"
    assert classes["ANT_URB_KIPD"] == "urban"
    assert classes["ANT_TRA_SING"] == "traffic"
