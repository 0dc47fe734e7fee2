#!/usr/bin/env bash
# Start a MongoDB in Docker containers for `make test MONGO=…`, and print MONGODB_URI=….
#
#   scripts/mongodb_in_containers.sh replica-set 8.0    a replica set of one member
#   scripts/mongodb_in_containers.sh sharded 8.0        a sharded cluster: one shard behind a mongos
#   scripts/mongodb_in_containers.sh stop               remove what the above started
#
# The containers use the machine's own network, so that the members' names are good outside of them: on Linux.
set -euo pipefail

usage="usage: ${0##*/} replica-set|sharded VERSION, or ${0##*/} stop"
deployment=${1:?$usage}
label=mongospec-tests

if [ "$deployment" = stop ]; then
    docker ps --all --quiet --filter "label=$label" | xargs --no-run-if-empty docker rm --force --volumes >&2
    exit
fi
image="mongo:${2:?$usage}"

# start NAME PROGRAM ARGUMENTS…, with fail points
start() {
    docker run --detach --rm --label "$label" --name "$label-$1" --network host "$image" \
        "${@:2}" --bind_ip 127.0.0.1 --setParameter enableTestCommands=1 >&2
}

# ask NAME PORT EXPRESSION: until it is carried out, for half a minute
ask() {
    for _ in {1..60}; do
        docker exec "$label-$1" mongosh --quiet --port "$2" --eval "$3" >&2 && return
        sleep 0.5
    done
    docker logs --tail 50 "$label-$1" >&2
    echo "$label-$1 did not carry out: $3" >&2
    return 1
}

# replica_set NAME PORT ARGUMENTS…: one member, and wait until it takes writes
replica_set() {
    start "$1" mongod --replSet "$1" --port "$2" "${@:3}"
    ask "$1" "$2" "try { rs.status() } catch { rs.initiate({_id: '$1', members: [{_id: 0, host: '127.0.0.1:$2'}]}) }"
    ask "$1" "$2" "if (!db.hello().isWritablePrimary) quit(1)"
}

case $deployment in
replica-set)
    replica_set rs0 27017
    echo "MONGODB_URI=mongodb://127.0.0.1:27017/?replicaSet=rs0"
    ;;
sharded)
    replica_set config 27019 --configsvr
    replica_set shard 27018 --shardsvr
    start mongos mongos --configdb config/127.0.0.1:27019 --port 27017
    ask mongos 27017 "if (!sh.addShard('shard/127.0.0.1:27018').ok) quit(1)"
    echo "MONGODB_URI=mongodb://127.0.0.1:27017/"
    ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac
