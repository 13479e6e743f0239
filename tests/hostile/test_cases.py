"""Every attack that the design lists has a test, by name."""

import ast
from pathlib import Path

HERE = Path(__file__).parent

CASES = {
    # Before the handshake.
    "random bytes": "test_a_stranger_who_begins_with_garbage_is_dropped",
    "an HTTP request": "test_a_stranger_who_begins_with_garbage_is_dropped",
    "a TLS hello": "test_a_stranger_who_begins_with_garbage_is_dropped",
    "an endless multistream line": "test_an_endless_line_is_cut_off",
    "an oversized length": "test_a_stranger_who_begins_with_garbage_is_dropped",
    "empty and repeated protocol lines": "test_a_stranger_who_begins_with_garbage_is_dropped",
    "half a Noise message": "test_half_a_noise_message_waits_no_longer_than_the_deadline",
    "a wrong key": "test_a_handshake_with_a_wrong_key_is_dropped",
    "a replayed handshake": "test_a_replayed_handshake_is_worth_nothing",
    "the identity of another peer": "test_a_false_identity_is_dropped",
    "plaintext negotiation": "test_plaintext_and_other_security_is_not_available",
    "300 idle sockets": "test_three_hundred_idle_sockets_shut_nobody_out",
    "one byte per second": "test_one_byte_at_a_time_does_not_stretch_the_deadline",
    # After it.
    "garbage protobuf on each protocol": "test_garbage_on_a_protocol_harms_nobody",
    "a junk key, one not Ed25519": "test_a_message_that_nobody_signed_reaches_nobody_and_ends_the_connection",
    "a bad signature": "test_a_message_that_nobody_signed_reaches_nobody_and_ends_the_connection",
    "names that are not UTF-8": "test_names_that_are_not_utf8_are_not_available",
    "20,000 opened streams": "test_twenty_thousand_streams_are_not_kept",
    "200 MiB beyond the window": "test_two_hundred_mib_beyond_the_window_end_the_connection",
    "unknown frame types and flags": "test_a_frame_against_the_rules_ends_the_connection",
    "a stream that never reads": "test_streams_that_never_read_cost_what_their_window_allows",
    "an oversized publication": "test_an_oversized_publication_is_taken_from_nobody",
    "a flood of subscriptions": "test_a_flood_of_subscriptions_ends_the_connection",
    "a flood of IHAVE": "test_a_flood_of_advertisements_makes_the_advertiser_worth_less",
    "a flood of IWANT": "test_a_flood_of_questions_is_answered_within_bounds",
    "more than 250 reconnects": "test_four_hundred_reconnects_leave_nothing_behind",
    # Found since.
    "GRAFT during the back-off": "test_grafts_during_the_back_off_end_the_connection",
    "replayed messages": "test_a_replayed_message_is_delivered_once",
    "answers with thousands of peers, with us, with addresses of nowhere": (
        "test_answers_full_of_inventions_fill_no_memory_and_lead_nowhere"
    ),
    "a flood of FIND_NODE": "test_a_flood_of_requests_is_answered_so_often_and_no_more",
    "a flood of identify pushes": "test_a_flood_of_descriptions_is_read_so_often_and_no_more",
    "another's peer record": "test_a_record_of_another_is_not_believed",
    "peers that come and go for twenty minutes": "test_memory_is_flat_while_peers_come_and_go",
}


def test_every_case_has_its_test():
    written = {
        node.name
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert not {case: name for case, name in CASES.items() if name not in written}
