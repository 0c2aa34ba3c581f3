# The customer's story that scripts/run and the test of the composed system play: signed webhooks in, SQL to see what became
# of them. Source it; it needs $answerd (the program), psql's variables and the secrets of docker/answerd.lua in the environment.
# shellcheck shell=bash disable=SC2154

story_number=0
story_fail() {
    printf '    FAILED: step %s: %s\n' "$story_number" "$*" >&2
    return 1
}
story_step() {
    story_number=$((story_number + 1))
    printf '\n%s. %s\n' "$story_number" "$*"
}
story_saw() { printf '    %s\n' "$*"; }

sql() { psql -qAtX -v ON_ERROR_STOP=1 -c "$1"; }
sql_is_true() { [ "$(sql "SELECT ($1)")" = t ]; }
# Waits for a condition in the database: what it means, then the SQL.
story_await() {
    wait_until "${STORY_PATIENCE:-20}" sql_is_true "$2" && return
    if [ "$(sql "SELECT count(*) FROM message WHERE state = 'unknown' AND queued_at > now() - interval '1 minute'")" -gt 0 ]; then
        story_saw "A message was on its way when answerd was killed: nobody knows whether it left, so it is not sent again."
    fi
    story_fail "waited for $1"
}

# Posts a body to a source, signed as its provider signs: source, kind, secret, body. Prints the status. Like a provider it
# tries again when nobody answers, or 503.
story_post() {
    local headers status end=$((SECONDS + ${STORY_PATIENCE:-20}))
    headers=$(printf '%s' "$4" | "$answerd" webhook sign "$2" --secret "$3")
    while :; do
        status=$(printf '%s' "$4" | curl -s -m 10 -o /dev/null -w '%{http_code}' -H "Content-Type: application/json" \
            -H @<(printf '%s\n' "$headers") --data-binary @- "$story_url/webhooks/$1") || true
        case $status in 000 | 503) ;; *) break ;; esac
        [ $SECONDS -lt $end ] || break
        sleep 0.2
    done
    printf '%s' "$status"
}
story_post_ok() {
    local status
    status=$(story_post "$@")
    [ "$status" = 200 ] || story_fail "the webhook was answered $status, not 200"
}

whatsapp_message() { # the message object
    printf '{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"field":"messages","value":{"messaging_product":"whatsapp",'
    printf '"metadata":{"display_phone_number":"15550783881","phone_number_id":"%s"},' "$WHATSAPP_PHONE_NUMBER_ID"
    printf '"contacts":[{"profile":{"name":"Ada Lovelace"},"wa_id":"%s"}],"messages":[%s]}}]}]}' "$story_phone" "$1"
}

play_story() {
    story_url=$1 story_run=$(date +%s)$((RANDOM % 900 + 100))
    story_phone=1555${story_run: -8}
    local person="'whatsapp:$story_phone'" invoice=in_$story_run body status
    local contact="(SELECT contact_id FROM identity WHERE identity = $person)"

    story_step "Ada writes on WhatsApp: a conversation opens and an acknowledgement goes out."
    body=$(whatsapp_message '{"from":"'"$story_phone"'","id":"wamid.A'"$story_run"'","timestamp":"'"$(date +%s)"'","type":"text","text":{"body":"Hello, are you there?"}}')
    story_post_ok whatsapp whatsapp "$WHATSAPP_APP_SECRET" "$body" || return
    story_await "an open conversation" "EXISTS (SELECT FROM conversation WHERE contact_id = $contact AND state = 'open')" || return
    story_await "the acknowledgement to be read" "EXISTS (SELECT FROM message WHERE contact_id = $contact AND direction = 'out' AND state = 'read')" || return
    story_saw "WhatsApp reported the acknowledgement as sent, delivered and read."

    story_step "Stripe reports that her payment failed: the outreach rule writes to her where she is."
    body='{"id":"evt_f'$story_run'","object":"event","api_version":"2026-10-28.endive","created":'$(date +%s)',"livemode":false,"type":"invoice.payment_failed","data":{"object":{"id":"'$invoice'","object":"invoice","customer":"cus_'$story_run'","customer_name":"Ada Lovelace","customer_email":"ada'$story_run'@example.com","customer_phone":"+'$story_phone'","amount_due":1900,"amount_remaining":1900,"currency":"usd","attempt_count":1,"billing_reason":"subscription_cycle","next_payment_attempt":'$(($(date +%s) + 259200))',"hosted_invoice_url":"https://invoice.stripe.com/i/'$story_run'","status":"open","parent":{"type":"subscription_details","subscription_details":{"subscription":"sub_'$story_run'","metadata":{}}}}}}'
    story_post_ok stripe stripe "$STRIPE_SIGNING_SECRET" "$body" || return
    story_await "the outreach message to be delivered" "EXISTS (SELECT FROM message WHERE contact_id = $contact AND outreach_id IS NOT NULL AND delivered_at IS NOT NULL)" || return
    story_saw "Ada got: $(sql "SELECT text FROM message WHERE contact_id = $contact AND outreach_id IS NOT NULL ORDER BY id LIMIT 1")"

    story_step "Stripe delivers the same webhook twice more, at once: nothing happens."
    local second third
    second=$(mktemp) third=$(mktemp)
    story_post stripe stripe "$STRIPE_SIGNING_SECRET" "$body" >"$second" &
    local second_pid=$!
    story_post stripe stripe "$STRIPE_SIGNING_SECRET" "$body" >"$third" &
    wait "$second_pid" $!
    status="$(cat "$second") $(cat "$third")"
    rm -f "$second" "$third"
    [ "$status" = "200 200" ] || story_fail "the duplicates were answered $status" || return
    sql_is_true "(SELECT count(*) FROM event WHERE source = 'stripe' AND key = 'evt_f$story_run') = 1 AND (SELECT count(*) FROM message WHERE contact_id = $contact AND outreach_id IS NOT NULL) = 1" ||
        story_fail "a duplicate had an effect" || return
    story_saw "Both were answered 200; there is still one event and one message."

    story_step "The invoice is paid: the outreach is recovered, the reminder never leaves."
    body='{"id":"evt_p'$story_run'","object":"event","api_version":"2026-10-28.endive","created":'$(date +%s)',"livemode":false,"type":"invoice.paid","data":{"object":{"id":"'$invoice'","object":"invoice","customer":"cus_'$story_run'","customer_email":"ada'$story_run'@example.com","amount_paid":1900,"amount_due":1900,"currency":"usd","attempt_count":1,"status":"paid","parent":{"type":"subscription_details","subscription_details":{"subscription":"sub_'$story_run'","metadata":{}}}}}}'
    story_post_ok stripe stripe "$STRIPE_SIGNING_SECRET" "$body" || return
    story_await "the outreach to be recovered" "EXISTS (SELECT FROM outreach WHERE contact_id = $contact AND state = 'recovered')" || return
    sql_is_true "NOT EXISTS (SELECT FROM timer WHERE contact_id = $contact AND outreach_id IS NOT NULL)" || story_fail "the reminder's timer is still there" || return
    story_saw "The outreach is recovered; no timer is left."

    story_step "Grace, who talks to our Telegram bot, buys something: she is welcomed there."
    local chat=${story_run: -9}
    body='{"update_id":'$story_run',"message":{"message_id":1,"from":{"id":'$chat',"is_bot":false,"first_name":"Grace","language_code":"en"},"chat":{"id":'$chat',"type":"private","first_name":"Grace"},"date":'$(date +%s)',"text":"/start"}}'
    story_post_ok telegram telegram "$TELEGRAM_SECRET_TOKEN" "$body" || return
    body='{"id":"evt_c'$story_run'","object":"event","api_version":"2026-10-28.endive","created":'$(date +%s)',"livemode":false,"type":"checkout.session.completed","data":{"object":{"id":"cs_'$story_run'","object":"checkout.session","mode":"payment","status":"complete","payment_status":"paid","customer":"cus_g'$story_run'","customer_details":{"email":"grace'$story_run'@example.com","name":"Grace Hopper","phone":null},"amount_total":4900,"currency":"usd","metadata":{"telegram":"'$chat'"}}}}'
    story_post_ok stripe stripe "$STRIPE_SIGNING_SECRET" "$body" || return
    story_await "the welcome on Telegram" "EXISTS (SELECT FROM message m JOIN identity i USING (contact_id) WHERE i.identity = 'telegram:$chat' AND m.direction = 'out' AND m.source = 'telegram' AND m.state = 'sent' AND m.text ILIKE '%welcome%')" || return
    story_saw "Grace got: $(sql "SELECT m.text FROM message m JOIN identity i USING (contact_id) WHERE i.identity = 'telegram:$chat' AND m.direction = 'out' AND m.text ILIKE '%welcome%' LIMIT 1")"

    story_step "The support tool says that Ada's ticket is resolved: she is asked for a rating, taps 4 and writes a comment."
    body='{"type":"ticket.resolved","timestamp":"'$(date -u +%Y-%m-%dT%H:%M:%SZ)'","data":{"ticket":"T-'$story_run'","customer":{"whatsapp":"'$story_phone'"}}}'
    story_post_ok support standard_webhooks "$SUPPORT_SIGNING_SECRET" "$body" || return
    story_await "the survey to reach her" "EXISTS (SELECT FROM survey s JOIN message m ON m.id = s.message_id WHERE s.contact_id = $contact AND m.delivered_at IS NOT NULL)" || return
    local survey survey_message
    survey=$(sql "SELECT id FROM survey WHERE contact_id = $contact ORDER BY id DESC LIMIT 1")
    survey_message=$(sql "SELECT m.provider_message_id FROM survey s JOIN message m ON m.id = s.message_id WHERE s.id = $survey")
    body=$(whatsapp_message '{"from":"'"$story_phone"'","id":"wamid.B'"$story_run"'","timestamp":"'"$(date +%s)"'","type":"interactive","context":{"from":"15550783881","id":"'"$survey_message"'"},"interactive":{"type":"list_reply","list_reply":{"id":"survey:'"$survey"':4","title":"4"}}}')
    story_post_ok whatsapp whatsapp "$WHATSAPP_APP_SECRET" "$body" || return
    story_await "the rating" "EXISTS (SELECT FROM survey WHERE id = $survey AND score = 4)" || return
    body=$(whatsapp_message '{"from":"'"$story_phone"'","id":"wamid.C'"$story_run"'","timestamp":"'"$(date +%s)"'","type":"text","text":{"body":"Quick and friendly, thank you!"}}')
    story_post_ok whatsapp whatsapp "$WHATSAPP_APP_SECRET" "$body" || return
    story_await "the comment" "EXISTS (SELECT FROM survey WHERE id = $survey AND comment = 'Quick and friendly, thank you!')" || return
    sql_is_true "NOT EXISTS (SELECT FROM conversation WHERE contact_id = $contact AND state <> 'resolved')" || story_fail "the answer reopened a conversation" || return
    story_saw "csat_scores has the 4 and the comment; the conversation stays resolved."

    story_step "Somebody forges a webhook: 401, and no row but its count."
    local webhooks
    webhooks=$(sql "SELECT count(*) FROM webhook WHERE source = 'stripe'")
    status=$(story_post stripe stripe "whsec_forged" '{"id":"evt_x'"$story_run"'","object":"event","type":"invoice.paid","data":{"object":{}}}')
    [ "$status" = 401 ] || story_fail "the forged webhook was answered $status, not 401" || return
    [ "$(sql "SELECT count(*) FROM webhook WHERE source = 'stripe'")" = "$webhooks" ] || story_fail "the forged webhook left a row" || return
    story_await "its count" "EXISTS (SELECT FROM webhook_reject WHERE source = 'stripe' AND count > 0 AND hour > now() - interval '2 hours')" || return
    story_saw "It was refused and counted."
}

# An event worth asking `answerd why` about.
story_event() { sql "SELECT id FROM event WHERE source = 'stripe' AND key = 'evt_f$story_run'"; }

show_story() {
    local contact="(SELECT contact_id FROM identity WHERE identity = 'whatsapp:$story_phone')"
    printf '\nThe conversation (conversation_history):\n'
    psql -X -P pager=off -c "SELECT at::time(0) AS time, direction, channel, text, state FROM conversation_history WHERE contact_id = $contact ORDER BY at, message_id"
    printf 'The delivery ledger (delivery_log):\n'
    psql -X -P pager=off -c "SELECT delivery_id, source, sent_as, state, attempts, message_state FROM delivery_log WHERE contact_id = $contact ORDER BY delivery_id"
    printf 'Why the failed payment had this effect (rule_trace):\n'
    psql -X -P pager=off -c "SELECT rule, verdict, file || ':' || line AS place, instructions, micros FROM rule_trace WHERE event_id = $(story_event) ORDER BY number"
    printf 'What the outreach came to (outreach_outcomes) and the rating (csat_scores):\n'
    psql -X -P pager=off -c "SELECT * FROM outreach_outcomes" -c "SELECT survey, score, comment FROM csat_scores WHERE contact_id = $contact"
}
