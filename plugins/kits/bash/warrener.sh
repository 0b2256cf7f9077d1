# Consume RabbitMQ messages from bash behind Warrener.
#
# One file, no dependencies, bash 3.2 or later. A consumer is a function of one message body:
#
#     . /path/to/warrener.sh
#     handle() { gzip <<<"$1" >>archive.gz; }
#     warrener_run handle
#
# In the stack's file such a consumer has `protocol: lines`. The function's exit status answers:
#
#     0       done (ack)
#     3 or 5  can never succeed: dead-letter (reject)
#     4 or 6  give it back untouched (requeue)
#     other   failed: the retry policy decides (nack)
#
# `reason="why"` inside the function goes with a reject or nack. What the function prints goes to
# stderr, and so into Warrener's log: stdout belongs to the replies. Its stdin is empty, so that no
# program it starts can swallow a message. When the input ends, `warrener_run` returns.

warrener_run() {
    local handler=$1 body status reason
    # 8: messages, 9: replies.
    exec 8<&0 9>&"${WARRENER_REPLIES_FD:-1}" 0</dev/null 1>&2 3>&-
    echo ready >&9
    # Byte by byte: in a UTF-8 locale, bash takes the newline after a broken character for a part
    # of it, and with it the next message.
    while LC_ALL=C IFS= read -r body <&8; do
        reason=
        status=0
        # In a condition, so that `set -e` of the program does not end it for a failed message.
        "$handler" "$body" 8<&- 9>&- || status=$?
        # A reply is one line.
        reason=${reason//[[:cntrl:]]/ }
        case $status in
            0) echo ack ;;
            3 | 5) echo "reject${reason:+ $reason}" ;;
            4 | 6) echo requeue ;;
            *) echo "nack ${reason:-exit status $status}" ;;
        esac >&9
    done
}
