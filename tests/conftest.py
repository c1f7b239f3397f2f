"""What every test runs under."""

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no failure, and the same commit draws the same examples.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("suite")

# The heaviest cases of tests whose others run in the quick suite too, by the ends of their names.
SLOW = (
    "test_progress_only_on_a_terminal",
    "test_counterexamples_are_limits_of_their_floored_versions[e-tri-e-tri-floored-0.06]",
    "test_the_search_refutes_a_jump_of_a_formula",
    "test_a_finding_of_a_script_is_replayed_by_its_function",
    "test_violations_are_found_and_replay[mean direction]",
    "test_drawn_inputs_of_kernels",
    "test_expanding_changes_no_value",
    "test_pairs_reach_their_distance_in_many_ways",
    "test_symbolic_maps_shrink_to_one_layer_without_parameters",
    "test_the_momentum_on_a_line_is_kept_by_each_particle",
    "test_exact_values_are_those_of_the_oracle[0]",
    "test_derivatives_of_three_layers[0]",
    "test_verdicts_on_max_pooling[1]",
    "test_violations_are_found_and_replay[leak of a ten thousandth]",
    "test_violations_are_found_and_replay[rounded output]",
    "test_derivative_of_a_functional_of_the_image[layers]",
    "test_lions_derivatives_of_second_order[layers]",
    "test_derivatives_of_three_layers[1]",
    "test_derivatives_of_three_layers[2]",
    "test_energies_along_a_flow_on_the_sphere[SA]",
    "test_the_energy_of_a_second_order_field_is_found[gaussian]",
    "test_many_sums_over_the_same_pairs[9-float64]",
    "test_many_sums_over_the_same_pairs[40-float32]",
    "test_every_engine[two blocks-lions]",
    "test_every_engine[sinkhorn-map]",
    "test_every_engine[sinkhorn-jacobian]",
    "test_every_engine[sphere transformer-jacobian]",
    "test_every_engine[sphere step-jacobian]",
    "test_every_engine[multi-head-jacobian]",
    "test_every_engine[causal-jacobian]",
    "test_every_engine[sink-jacobian]",
    "test_every_engine[Motsch-Tadmor-jacobian]",
    "test_every_engine[sphere attention-jacobian]",
    "test_code.py::test_c_programs[two blocks]",
    "test_energies_fall_by_the_square_of_the_field[kuramoto by order]",
    "test_energies_fall_by_the_square_of_the_field[mean shift]",
    "test_energies_fall_by_the_square_of_the_field[SA]",
    "test_energies_fall_by_the_square_of_the_field[quartic aggregation]",
    "test_fields_are_slopes_of_their_energies[kuramoto by order]",
    "test_the_energy_of_a_second_order_field_is_found[symbolic exponent]",
    "test_the_energy_of_a_second_order_field_is_found[with a trap]",
    "test_long_sums_of_matrices_act_as_a_whole",
    "test_every_engine[two blocks-map]",
    "test_every_engine[two blocks-jacobian]",
    "test_every_engine[two blocks-flat]",
    "test_every_engine[sinkhorn-flat]",
    "test_every_engine[sinkhorn-lions]",
    "test_every_engine[block-jacobian]",
    "test_library.py::test_derivatives[two blocks]",
    "test_library.py::test_derivatives[sinkhorn]",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        again = "test_good_maps_are_not_refuted" in item.name and item.name.endswith("-1]")
        if again or item.nodeid.endswith(SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def findings_stay_in_the_run(tmp_path_factory):
    """Counterexamples that tests provoke are not kept in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_HOME", str(tmp_path_factory.mktemp("home")))
        yield
