//! What every backend promises: one table of stories, told to each backend in its turn.
//!
//! A story gets an empty store and speaks only through [`parlour_store::Store`].

#![expect(clippy::unwrap_used, reason = "what a story needs and does not get ends it")]

#[path = "contract/kit.rs"]
mod kit;

#[path = "contract/channels.rs"]
mod channels;
#[path = "contract/connecting.rs"]
mod connecting;
#[path = "contract/events.rs"]
mod events;
#[path = "contract/lives.rs"]
mod lives;
#[path = "contract/members.rs"]
mod members;
#[path = "contract/messages.rs"]
mod messages;
#[path = "contract/metering.rs"]
mod metering;
#[path = "contract/model.rs"]
mod model;
#[path = "contract/moderation.rs"]
mod moderation;
#[path = "contract/query.rs"]
mod query;
#[path = "contract/races.rs"]
mod races;
#[path = "contract/reads.rs"]
mod reads;
#[path = "contract/revocations.rs"]
mod revocations;
#[path = "contract/teams.rs"]
mod teams;
#[path = "contract/tenancy.rs"]
mod tenancy;
#[path = "contract/usage.rs"]
mod usage;
#[path = "contract/users.rs"]
mod users;
#[path = "contract/users_query.rs"]
mod users_query;

/// Makes each story a test of each backend.
macro_rules! stories {
    ($($file:ident { $($story:ident,)+ })+) => {
        mod sqlite_in_a_file {
            $(mod $file { $(
                #[test]
                fn $story() {
                    crate::kit::tell_in_a_file(crate::$file::$story);
                }
            )+ })+
        }

        mod sqlite_in_memory {
            $(mod $file { $(
                #[test]
                fn $story() {
                    crate::kit::tell_in_memory(crate::$file::$story);
                }
            )+ })+
        }
    };
}

stories! {
    users {
        connect_merges_key_by_key_and_keeps_a_null,
        a_user_who_comes_again_is_as_old_as_before_and_seen_now_f4_2,
        upsert_replaces_and_keeps_role_and_teams_that_are_not_named,
        a_partial_update_sets_and_unsets,
        a_user_of_the_limit_is_refused_and_nothing_is_stored_on_every_path_l6_39,
        only_a_real_change_is_an_event,
        users_are_found_in_the_order_asked,
        friends_share_a_direct_channel_f4_8,
        me_is_made_by_nothing_but_connecting,
    }

    connecting {
        a_connect_brings_everything_a_session_starts_from,
        as_of_finds_the_last_seq_ten_seconds_before_it_l4_4,
        as_of_in_what_was_trimmed_stands_before_the_floor,
        thirty_channels_of_the_latest_activity_come_with_a_connect,
        a_user_of_a_thousand_channels_connects_with_all_topics,
        who_is_anonymous_starts_from_nothing_and_leaves_nothing_f1_34_f1_36_f5_4,
    }

    revocations {
        whichever_revokes_more_is_in_force_and_null_takes_it_back,
        who_comes_with_a_revoked_token_is_not_let_in_and_counts_for_nothing,
        a_revocation_is_told_to_whom_it_concerns,
    }

    channels {
        a_channel_is_made_once_and_then_left_alone,
        the_creator_is_owner_and_members_are_told,
        unknown_members_make_no_channel,
        data_is_set_unset_and_held_to_its_limit,
        a_deleted_channel_is_gone_and_its_members_are_told,
        a_channel_made_again_goes_on_with_its_seqs_and_shows_nothing_of_the_old_one,
        state_shows_what_the_viewer_may_see,
        access_tells_what_decides,
    }

    members {
        adding_and_removing_tells_the_channel_and_the_user,
        adding_twice_and_removing_nobody_is_no_event,
        unknown_users_change_nothing,
        hidden_history_starts_at_joining,
        members_are_paged_by_the_time_they_joined,
        what_a_removed_user_may_no_longer_see_is_a_placeholder,
    }

    messages {
        a_message_has_the_seq_of_its_event,
        texts_and_data_come_back_as_they_were_sent,
        the_same_send_again_is_the_message_as_it_is_now,
        the_same_id_for_anything_else_is_a_conflict,
        an_id_of_a_hard_deleted_message_stays_taken_l5_12,
        ids_of_a_deleted_channel_stay_taken,
        who_is_no_member_sends_nothing,
        mentions_and_senders_must_exist,
        edits_change_what_they_name,
        an_edit_of_a_deleted_message_finds_nothing,
        custom_data_is_held_to_its_limit,
        a_soft_deleted_message_keeps_its_place_without_its_words,
        a_hard_deleted_message_is_gone,
        deleting_again_is_the_same,
        pages_lie_where_they_were_asked_for,
        times_never_step_back_within_a_channel,
    }

    reads {
        unread_counts_what_others_said_aloud,
        reading_goes_forward_only,
        a_read_position_beyond_the_head_is_the_head,
        reading_nothing_new_is_no_event,
        receipts_off_hide_the_position_from_others,
        each_time_of_hiding_hides_what_was_read_in_it_f3_11,
        marking_unread_goes_back_and_tells_nobody_else,
        only_members_read,
    }

    events {
        a_message_is_told_as_it_is_replayed,
        a_replay_renders_the_present_l5_6,
        a_hard_deleted_message_replays_as_deleted_in_all_its_places_l5_7,
        mark_read_keeps_its_numbers,
        members_load_from_where_they_may_see,
        who_may_not_read_gets_no_events,
        loads_are_limited_and_know_the_head,
        heads_come_in_the_order_asked,
        trimmed_events_are_said_to_be_trimmed_l5_8,
        trimming_forgets_tombstones,
        the_sink_hears_every_commit_before_the_caller,
    }

    query {
        every_comparison_finds_what_it_says,
        any_key_of_data_is_data,
        kinds_of_json_are_not_mixed_up,
        autocomplete_takes_its_text_literally_and_in_any_case,
        a_filter_cannot_widen_what_the_viewer_sees,
        orders_and_pages_neither_skip_nor_repeat,
    }

    users_query {
        users_are_found_by_every_comparison_f2_15_f2_19,
        users_are_found_by_whether_they_are_banned_now_f2_18,
        users_come_in_the_order_asked_f2_16,
        pages_neither_skip_nor_repeat_while_others_write_f2_17,
        a_place_of_another_order_is_none,
    }

    lives {
        who_is_deactivated_does_not_connect_until_reactivated_f2_20_f2_21,
        who_is_deleted_comes_back_whole_when_restored_f2_22_f2_25,
        who_is_deleted_for_good_leaves_what_the_call_said_f2_23,
        channels_of_two_go_with_who_is_deleted_if_so_asked_f2_23,
        an_export_has_all_that_is_stored_of_a_user_f2_24,
        one_task_of_an_app_is_done_at_a_time_and_says_how_far_it_is_f2_26,
        a_device_belongs_to_who_registered_it_last_f2_37,
    }

    teams {
        random_teams_agree_with_a_naive_model_f2_34_f2_35,
        a_channel_belongs_to_a_team_of_its_creator,
        who_is_outside_becomes_no_member_and_is_not_mentioned_f2_34,
        leaving_a_team_is_leaving_its_channels_f2_35,
    }

    moderation {
        a_ban_holds_until_its_time_or_until_it_is_lifted_f2_27_f2_29,
        who_is_banned_from_a_channel_says_nothing_in_it_f2_28,
        what_the_shadow_banned_says_is_its_own_on_every_path_f2_30,
        what_the_shadow_banned_edits_changes_for_itself_f2_30,
        bans_are_listed_while_they_hold_and_paged_f2_29,
        mutes_end_by_the_clock_and_are_told_to_ones_own_devices_f2_31,
        a_block_stands_between_two_in_both_directions_f2_32,
        the_same_reporter_flags_the_same_once_f2_33,
        a_members_role_changes_once,
    }

    usage {
        a_user_counts_once_a_month_f5_1_f5_3,
        peaks_carry_in_what_was_there_before_f5_8_f5_12,
        closing_is_recorded_with_the_users,
        a_clock_set_back_loses_no_peak,
        a_commit_that_lets_somebody_in_records_all_that_changed_before_it_f5_9,
        a_process_that_ends_without_a_word_ended_its_connections_when_it_last_recorded_f5_11,
        who_is_refused_or_gone_before_it_was_let_in_is_never_counted,
        minutes_are_kept_for_90_days_and_carry_in_what_was_before_them,
    }

    metering {
        random_weeks_with_crashes_agree_with_a_naive_model_f5_6_f5_7_f5_8_f5_11_f5_14_f5_15,
    }

    tenancy {
        two_apps_share_nothing_f1_1,
        an_app_is_made_once,
        an_app_keeps_where_its_keys_stand_until_it_is_forgotten_f1_6,
    }

    races {
        a_hundred_get_or_creates_make_one_channel,
        sixty_four_senders_leave_no_hole_l5_1,
        the_same_send_a_hundred_times_is_one_message,
        everybody_reads_what_was_acknowledged,
    }

    model {
        random_lives_agree_with_a_naive_model,
    }
}

#[test]
fn a_hundred_weeks_with_crashes_agree_with_a_naive_model_f5_6_f5_7_f5_8_f5_11_f5_14_f5_15() {
    kit::tell_in_memory(async |kit| metering::weeks(kit, 0..100, 1_500).await);
}
