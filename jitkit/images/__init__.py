"""Images as people see them: pictures on disk, albums of them, line plots."""
