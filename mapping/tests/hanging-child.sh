#!/bin/sh
exec /bin/sleep 60
