"""Who is compared, each in a module: a class ``Contender`` that does the work of the rows its own way.

What a contender does not offer it does not define, and its field in the table stays empty.

All work as they do when nobody tunes them: a cursor, for instance, in batches of its own default.

- ``open(uri)``, ``close()``
- ``make(raw)``, ``plain(document)``, ``plain_article(document)``: from plain dictionaries and back
- ``find_one(id)``, ``update_one(id, values)``, ``insert_one(document)``, ``save(document, name, age)``
- ``insert_many(documents)``, ``insert_many_unchecked(documents)``, ``find_all()``, ``cursor()``
- ``find_articles(collection)``: posts or albums, their authors and tags in place
- ``save_title(album, title)``, ``cascade(post, title)``: the title alone; the author and the tags as well
"""
