# A consumer in protocol `lines`, in bash.
while IFS= read -r line; do
    echo ack
done
