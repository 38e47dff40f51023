"""Every unknown of reference/capsule.md as a switch, and the numbers that can be set. The first position is the default."""

from __future__ import annotations

from tests.simulators.control import Number, Switch

SWITCHES = (
    Switch("deleted_payload", ("minimal", "full"), "§1.6", "a deleted event carries id and deletedAt, or the record as it was"),
    Switch("batched", ("1", "<n>"), "§1.7", "how many events of one hook are collected into one array"),
    Switch("duplicate_hooks", ("accepted", "refused"), "§1.3", "subscribing the same event and URL twice"),
    Switch("delivery_content_type", ("json", "absent"), "§1.5", "whether deliveries say that they are JSON"),
    Switch("hook_shape", ("minimal", "full"), "§1.1", "whether hooks print user, clientId, description and times"),
    Switch("pat_hooks", ("403", "401"), "§1.3", "status for a personal token that manages hooks"),
    Switch("updated_fires_with_moved_closed", ("no", "yes"), "§1.4", "whether moved, closed, completed come with an updated"),
    Switch("tag_change_fires_updated", ("no", "yes"), "§1.4", "whether a change of tags alone fires updated"),
    Switch("tag_change_moves_updated_at", ("no", "yes"), "§1.4, §3.4", "whether a change of tags alone moves updatedAt"),
    Switch("field_change_fires_updated", ("no", "yes"), "§1.4", "whether a change of custom fields alone fires updated"),
    Switch(
        "field_change_moves_updated_at", ("no", "yes"), "§1.4, §3.4", "whether a change of custom fields alone moves updatedAt"
    ),
    Switch(
        "note_fires_updated", ("no", "yes"), "§1.4", "whether a note, which moves lastContactedAt, fires updated for its record"
    ),
    Switch("unchanged_put_counts", ("yes", "no"), "§1.4", "whether a PUT that changes nothing moves updatedAt and fires updated"),
    Switch("cascade_fires_deleted", ("no", "yes"), "§1.4, §5.6", "whether records deleted with their party fire deleted"),
    Switch(
        "cascade_in_deleted_lists",
        ("yes", "no"),
        "§3.6, §5.6",
        "whether records deleted with their party are in the deleted lists",
    ),
    Switch(
        "people_of_deleted_organisation",
        ("unlinked", "updated", "deleted"),
        "§5.6",
        "people lose the link silently, lose it with updatedAt and updated, or go too",
    ),
    Switch("events_lost", ("no", "yes"), "§1.11", "no event is delivered: edits that no hook announces"),
    Switch("multiget_unknown", ("skip", "fail"), "§3.7", "an unknown id among several is skipped, or the call is 404"),
    Switch("multiget_over", ("400", "422"), "§3.7", "status for more than 10 ids"),
    Switch("multiget_order", ("id", "request"), "§3.7", "order of a multi-get's answer"),
    Switch("list_order", ("id", "id_descending", "updated", "updated_descending"), "§3.3", "order of lists"),
    Switch("per_page_over", ("refuse", "clamp"), "§3.3", "perPage over the largest: 400, or the largest"),
    Switch("since_inclusive", ("no", "yes"), "§3.4", "whether a record changed in the very second of since is listed"),
    Switch("deleted_needs_since", ("all", "parties"), "§3.4", "which deleted lists answer 422 without since"),
    Switch(
        "embedded_organisation_has_tags", ("no", "yes"), "§3.5", "whether an embedded party carries the tags and fields asked for"
    ),
    Switch(
        "not_found_text",
        ("resource", "named"),
        "§3.10",
        "text of a record's 404: 'Could not find resource', or 'party not found'",
    ),
    Switch("limit_headers_on_errors", ("no", "yes"), "§3.1", "whether errors other than 429 carry the X-RateLimit headers"),
    Switch("refresh_rotates", ("yes", "no"), "§2.2", "whether a refresh gives a new refresh token and ends the old one"),
    Switch("refresh_ends_access_token", ("yes", "no"), "§2.2", "whether a refresh ends the access token before it"),
    Switch("filter_order_by", ("ignored", "honoured"), "§3.9", "whether orderBy of an ad-hoc filter sorts"),
    Switch("search_finds_email", ("no", "yes"), "§3.8", "whether search matches a whole e-mail address"),
    Switch(
        "related_includes_additional",
        ("no", "yes"),
        "§5.1",
        "whether /parties/{id}/opportunities has those with it as additional party",
    ),
    Switch("party_owner_default", ("none", "user"), "§5.3", "owner of a party created without one"),
    Switch("tag_delete", ("204", "202"), "§5.4", "answer to deleting a tag definition"),
)

LIMITS: dict[str, Number] = {
    "requests_per_hour": 4_000,  # §3.1, per user
    "window_seconds": 3_600,  # §3.1
    "hooks": 20,  # §1.3, per account
    "delivery_timeout": 5.0,  # §1.9: not documented, so the shortest that the reference names
    "delivery_concurrency": 16,  # how many deliveries are under way at once: not documented
    "delivery_jitter": 0.0,  # each first attempt waits up to so many seconds at random: disorder (§1.10)
    "duplicate_every": 0,  # every so many deliveries one is sent twice (§1.10); 0 = never
    "batch_seconds": 1.0,  # an incomplete batch goes out after so long (§1.7)
    "time_scale": 1.0,  # the waits between attempts (§1.9) are multiplied by it
    "search_lag": 5.0,  # seconds until search finds what was written (§3.8: not stated)
    "token_seconds": 604_799,  # §2.2
    "big_cascade": 100,  # a delete that takes more records with it is answered 202 with a job (§5.6)
}
